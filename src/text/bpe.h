// Bpe: the model of a tokenizer, words -> ids by byte pair encoding.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/merge_table.h"
#include "text/piece_table.h"
#include "text/token_model.h"

namespace lmdeploy {

// How a word becomes its first symbols and what else the file switches on.
struct BpeOptions {
  bool byte_level = false;     // pieces spell bytes in the byte-level alphabet; symbols are bytes
  bool byte_fallback = false;  // a character outside the vocabulary becomes its <0xXX> pieces
  bool ignore_merges = false;  // a word that is a piece is that piece, whatever the merges say
  bool fuse_unk = false;       // a run of unknown characters is one unknown id
  int32_t unk = -1;            // -1: unknown characters are dropped
};

class Bpe final : public TokenModel {
 public:
  struct Rule {
    int32_t left, right;
    Merge merge;
  };

  // `pieces`: by id; an empty string is an id without a piece. `reachable[i]` false keeps piece i
  // out of the words (control tokens of a GGUF file); empty means all are reachable.
  Bpe(const std::vector<std::string>& pieces, const std::vector<bool>& reachable,
      const std::vector<Rule>& rules, BpeOptions options);

  void encode(std::string_view word, EncodeScratch& scratch, std::vector<int32_t>& out) const override;

 private:
  void encode_part(std::string_view word, EncodeScratch& scratch, std::vector<int32_t>& out) const;
  void encode_uncached(std::string_view word, EncodeScratch& scratch, std::vector<int32_t>& out) const;
  void first_bytes(std::string_view word, std::vector<int32_t>& ids) const;
  void first_chars(std::string_view word, std::vector<int32_t>& ids) const;
  bool add_byte_pieces(std::string_view bytes, std::vector<int32_t>& ids) const;
  int32_t char_id(char32_t c, std::string_view bytes) const;
  void find_cuts(const std::vector<std::string>& pieces, const std::vector<Rule>& rules);
  bool may_join(char32_t left, char32_t right) const;

  BpeOptions options_;
  PieceTable pieces_;  // by the bytes of a word, that is decoded from the byte-level alphabet
  MergeTable merges_;
  std::array<int32_t, 256> byte_ids_;  // of a single byte, or of its <0xXX> piece
  std::vector<int32_t> char_ids_;      // of the Basic Multilingual Plane, unless byte-level
  std::vector<uint64_t> joins_;        // a bit per hash of two characters that some merge spans
};

}  // namespace lmdeploy
