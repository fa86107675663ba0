// The end of every 16-bit product: bias and residual are added in fp32, then one rounding.
#pragma once

#include "kernels/cuda/matmul_launch.h"
#include "kernels/cuda/numeric.cuh"

namespace lmdeploy::cuda {

template <class Out>
__device__ __forceinline__ void store_sum(const GemmOutput& to, int64_t t, int n, float sum) {
  Out* out = static_cast<Out*>(to.out) + t * to.stride + n;
  if (to.bias != nullptr) sum += to.bias[n];
  if (to.add) sum += to_float(*out);
  *out = from_float<Out>(sum);
}

// kCount = 16 bytes of Out.
template <class Out>
__device__ __forceinline__ void store_pack_of_sums(const GemmOutput& to, int64_t t, int n,
                                                   const float* sums) {
  constexpr int kCount = Pack<Out>::kSize;
  Out* out = static_cast<Out*>(to.out) + t * to.stride + n;
  Pack<Out> before, pack;
  if (to.add) before = load_pack(out);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    float sum = sums[i];
    if (to.bias != nullptr) sum += to.bias[n + i];
    if (to.add) sum += to_float(before.elements[i]);
    pack.elements[i] = from_float<Out>(sum);
  }
  store_pack(out, pack);
}

// Eight neighbouring sums of row t, from column n on (a multiple of 8). Rows and columns behind the
// end are left out.
template <class T>
__device__ __forceinline__ void store_eight_sums(const GemmOutput& to, int64_t t, int n,
                                                 const float (&sums)[8]) {
  if (t >= to.rows) return;
  if (to.vectors && n + 8 <= to.n) {
    if (to.f32) {
      store_pack_of_sums<float>(to, t, n, sums);
      store_pack_of_sums<float>(to, t, n + 4, sums + 4);
    } else {
      store_pack_of_sums<T>(to, t, n, sums);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    if (n + i >= to.n) break;
    if (to.f32) {
      store_sum<float>(to, t, n + i, sums[i]);
    } else {
      store_sum<T>(to, t, n + i, sums[i]);
    }
  }
}

}  // namespace lmdeploy::cuda
