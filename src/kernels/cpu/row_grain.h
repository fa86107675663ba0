// How finely the row loops of light ops are cut: a barrier costs 1-2 us, so less work than this
// stays on the calling thread.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lmdeploy::cpu {

// Rows of `row_elems` elements that are worth a thread: a few microseconds of streaming work.
inline int64_t row_grain(int64_t row_elems) {
  constexpr int64_t kElemsPerThread = 32768;
  return std::max<int64_t>(1, kElemsPerThread / std::max<int64_t>(1, row_elems));
}

}  // namespace lmdeploy::cpu
