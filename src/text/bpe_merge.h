// merge_symbols: the BPE loop over one word. While some adjacent pair has a merge, the pair of the
// lowest rank, leftmost among equals, becomes one symbol.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "text/merge_table.h"

namespace lmdeploy {

// Memory that merges reuse. Not thread-safe.
struct MergeScratch {
  std::vector<uint32_t> spans;
  std::vector<uint64_t> heap;  // rank << 32 | position

  // Gives memory back that one huge word needed.
  void shrink();
};

// Merges `ids` in place. Time grows as n log n at most in the number of symbols; from
// kBucketSymbols on, nearly as n (a word of 10 MB).
void merge_symbols(const MergeTable& merges, std::vector<int32_t>& ids, MergeScratch& scratch);

// Plain quadratic loop for words of a few symbols; returns the new count.
size_t merge_short(const MergeTable& merges, int32_t* ids, size_t count);

inline constexpr size_t kShortSymbols = 32;
inline constexpr size_t kBucketSymbols = 1 << 16;

}  // namespace lmdeploy
