// Rows as vectors, V = F32Vec of AVX2 or AVX-512, and sums over them in an order that depends on the
// row's size alone.
#pragma once

#include <cstdint>

namespace lmdeploy::cpu {

// Calls fn(i, count, slot) for each vector of a row; slot cycles 0..3.
template <class V, class Fn>
inline void for_vectors(int64_t size, Fn&& fn) {
  constexpr int64_t kLanes = V::kLanes;
  int64_t i = 0;
  for (; i + 4 * kLanes <= size; i += 4 * kLanes) {
    fn(i, V::kLanes, 0);
    fn(i + kLanes, V::kLanes, 1);
    fn(i + 2 * kLanes, V::kLanes, 2);
    fn(i + 3 * kLanes, V::kLanes, 3);
  }
  for (; i < size; i += kLanes) {
    fn(i, static_cast<int>(size - i < kLanes ? size - i : kLanes), 0);
  }
}

// Four interleaved sums, one for each slot.
template <class V>
struct RowSum {
  V s[4] = {V::zero(), V::zero(), V::zero(), V::zero()};

  float mean(int64_t size) const {
    return ((s[0] + s[1]) + (s[2] + s[3])).sum() / static_cast<float>(size);
  }
};

}  // namespace lmdeploy::cpu
