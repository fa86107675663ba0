// Rows in memory as vectors of up to 16 bytes: the wide accesses of kernels that stream rows.
#pragma once

#include <cstdint>

#include "kernels/cuda/numeric.cuh"

namespace lmdeploy::cuda {

// kSize consecutive elements, read or written in one access. 16 bytes, or one element.
template <class T, int kSize>
struct alignas(kSize * sizeof(T)) RowVector {
  T elements[kSize];
};

template <int kSize, class T>
__device__ __forceinline__ RowVector<T, kSize> load_vector(const T* p) {
  return *reinterpret_cast<const RowVector<T, kSize>*>(p);
}
template <int kSize, class T>
__device__ __forceinline__ void store_vector(T* p, const RowVector<T, kSize>& vector) {
  *reinterpret_cast<RowVector<T, kSize>*>(p) = vector;
}

// Whether every row of `size` elements, `stride` apart from `p` on, is made of whole aligned
// 16-byte vectors. nullptr is.
inline bool rows_are_vectors(const void* p, int64_t stride, int64_t size, int64_t element_bytes) {
  return p == nullptr || (reinterpret_cast<uintptr_t>(p) % 16 == 0 &&
                          stride * element_bytes % 16 == 0 && size * element_bytes % 16 == 0);
}

}  // namespace lmdeploy::cuda
