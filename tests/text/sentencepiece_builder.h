// Tiny sentencepiece files, made in memory.
#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace lmdeploy {

inline std::string proto_varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
inline std::string proto_number(uint32_t field, uint64_t value) {
  return proto_varint(field << 3) + proto_varint(value);
}
inline std::string proto_bytes(uint32_t field, std::string_view bytes) {
  return proto_varint(field << 3 | 2) + proto_varint(bytes.size()) + std::string(bytes);
}
inline std::string proto_float(uint32_t field, float value) {
  char bytes[sizeof(value)];
  std::memcpy(bytes, &value, sizeof(value));
  return proto_varint(field << 3 | 5) + std::string(bytes, sizeof(bytes));
}

struct BuiltPiece {
  std::string text;
  float score = 0;
  int type = 1;  // normal, unknown, control, user defined, unused, byte
};

struct SentencepieceBuilder {
  std::vector<BuiltPiece> pieces;
  int model_type = 2;  // unigram, BPE
  bool byte_fallback = false, add_dummy_prefix = true, remove_extra_whitespaces = false;
  std::string charsmap;

  std::string build() const {
    std::string out;
    for (const BuiltPiece& piece : pieces) {
      out += proto_bytes(1, proto_bytes(1, piece.text) + proto_float(2, piece.score) +
                                proto_number(3, static_cast<uint64_t>(piece.type)));
    }
    out += proto_bytes(2, proto_number(3, static_cast<uint64_t>(model_type)) +
                              proto_number(35, byte_fallback) + proto_number(41, 1) +
                              proto_number(42, 2));
    return out + proto_bytes(3, proto_bytes(2, charsmap) + proto_number(3, add_dummy_prefix) +
                                    proto_number(4, remove_extra_whitespaces) + proto_number(5, 1));
  }
};

// <unk> <s> </s>, the marks a to d with some merges, a user-defined piece, a control piece.
inline SentencepieceBuilder small_sentencepiece() {
  SentencepieceBuilder builder;
  builder.pieces = {{"<unk>", 0, 2}, {"<s>", 0, 3},   {"</s>", 0, 3}, {"▁", -4, 1},  {"a", -5, 1},
                    {"b", -6, 1},    {"c", -7, 1},    {"ab", -1, 1},  {"▁a", -2, 1}, {"▁ab", -3, 1},
                    {"[U]", 0, 4},   {"<ctl>", 0, 3}, {"bc", -1.5, 1}};
  return builder;
}

}  // namespace lmdeploy
