// TokenModel: the model of a tokenizer, words -> ids.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/bpe_merge.h"
#include "text/word_cache.h"

namespace lmdeploy {

// The best way to a byte of a text (Unigram): the piece that ends there.
struct PathNode {
  float score = 0;
  int32_t start = -1;  // of the last piece; -1: no way leads here
  int32_t id = -1;
};

// What one encode call works with; reused from call to call. Not thread-safe.
struct EncodeScratch {
  WordCache cache;
  std::vector<int32_t> ids;
  MergeScratch merge;
  std::vector<PathNode> path;
};

// Immutable once built; encode is thread-safe with a scratch per thread. A scratch belongs to one
// model.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  // Appends the ids of one word: valid UTF-8, as the pre-tokenizer cut it.
  virtual void encode(std::string_view word, EncodeScratch& scratch,
                      std::vector<int32_t>& out) const = 0;
};

}  // namespace lmdeploy
