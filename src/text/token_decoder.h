// TokenDecoder: ids -> text, a piece at a time, as the decoder section of tokenizer.json says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace lmdeploy {

// What has been decoded and not yet taken.
struct DecodeState {
  std::string text;      // kBytes: raw bytes; else valid UTF-8 that nothing can change any more
  std::string byte_run;  // kText: the bytes of the <0xXX> pieces since the last other piece
  bool first = true;     // no piece has come yet
  size_t stripped = 0;   // leading characters removed
  bool body = false;     // text has begun: nothing more is stripped
};

// Before the first piece; `continues`: other text came before.
inline DecodeState start_decoding(bool continues) {
  DecodeState state;
  state.first = !continues;
  state.body = continues;
  return state;
}

// Immutable once built, thread-safe.
class TokenDecoder {
 public:
  enum class Mode {
    kBytes,   // pieces are bytes of the text (byte-level)
    kText,    // pieces are text, <0xXX> pieces are bytes of characters in between (byte fallback)
    kSpaced,  // no decoder: pieces with a space between them
  };

  Mode mode = Mode::kText;
  // Characters `strip` are taken off the start of the text, `max_stripped` at most.
  char strip = ' ';
  size_t max_stripped = 0;

  // Ids must be added in order from 0. `byte`: the piece stands for one byte (byte fallback).
  // `first_text`: what it contributes as the first piece, where that differs.
  void add(std::string_view text, std::optional<uint8_t> byte = {},
           std::optional<std::string> first_text = {});

  // Adds one id of the sequence to `state`; ids out of range contribute nothing.
  void push(int32_t id, DecodeState& state) const;
  // Text that no further id can change. Valid UTF-8.
  std::string take_certain(DecodeState& state) const;
  // All the text; incomplete sequences become U+FFFD. `state` is spent.
  std::string take_rest(DecodeState& state) const;

 private:
  struct Piece {
    size_t offset;
    uint32_t length;
    int16_t byte;  // -1: text
  };
  void end_byte_run(DecodeState& state) const;
  void append(std::string_view text, DecodeState& state) const;

  std::vector<Piece> pieces_;
  std::string blob_;
  std::unordered_map<int32_t, std::string> first_texts_;
};

}  // namespace lmdeploy
