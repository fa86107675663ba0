// Unigram: the model of sentencepiece that takes the most probable way to cut a text into pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/merge_table.h"
#include "text/token_model.h"

namespace lmdeploy {

struct UnigramPiece {
  std::string_view text;
  int32_t id;
  float score;        // log probability
  bool user_defined;  // scores 0.1 for each byte but the first, whatever `score` is
};

struct UnigramOptions {
  int32_t unk = 0;
  std::vector<int32_t> byte_ids;  // of the 256 bytes of an unknown character; empty: it is `unk`
};

// As sentencepiece 0.2.3's EncodeOptimized, in the same single-precision arithmetic: the score of a
// way is the sum of its pieces', an unknown character has the worst score - 10, the first way of
// equals stays, and sums beyond 1e5 start again from 0.
class Unigram final : public TokenModel {
 public:
  // Scores are finite; pieces are not empty.
  Unigram(const std::vector<UnigramPiece>& pieces, UnigramOptions options);

  void encode(std::string_view word, EncodeScratch& scratch,
              std::vector<int32_t>& out) const override;

 private:
  void find_paths(std::string_view text, size_t start, std::vector<PathNode>& path) const;
  void rebase(size_t start, std::vector<PathNode>& path) const;
  void append_unknown(std::string_view text, bool after_unknown, std::vector<int32_t>& out) const;

  // A trie: (node, byte) -> (1 + index of the piece that ends there, next node).
  MergeTable trie_;
  std::vector<float> scores_;
  std::vector<int32_t> ids_;
  UnigramOptions options_;
  float unknown_score_;
  size_t longest_ = 4;  // bytes of a piece or an unknown character
};

}  // namespace lmdeploy
