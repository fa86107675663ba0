// The end of every 16-bit product: bias and residual are added in fp32, then one rounding. Loops
// stay loops where that keeps the code small: a product of microseconds waits for its instructions
// too.
#pragma once

#include "kernels/cuda/gated_activation.cuh"
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

// kSize = 16 bytes of Out.
template <class Out>
__device__ __forceinline__ void store_pack_of_sums(const GemmOutput& to, int64_t t, int n,
                                                   const float* sums) {
  Out* out = static_cast<Out*>(to.out) + t * to.stride + n;
  Pack<Out> pack;
  if (to.add) {
    const Pack<Out> before = load_pack(out);
#pragma unroll
    for (int i = 0; i < Pack<Out>::kSize; ++i) {
      pack.elements[i] = from_float<Out>(sums[i] + to_float(before.elements[i]));
    }
  } else {
#pragma unroll
    for (int i = 0; i < Pack<Out>::kSize; ++i) pack.elements[i] = from_float<Out>(sums[i]);
  }
  store_pack(out, pack);
}

// Eight neighbouring sums of row t, from column n on (a multiple of 8); `sums` is 16-byte aligned
// shared memory. Rows and columns behind the end are left out.
template <class T>
__device__ __forceinline__ void store_eight_sums(const GemmOutput& to, int64_t t, int n,
                                                 const float* sums) {
  if (t >= to.rows) return;
  if (!to.vectors || n + 8 > to.n) {
#pragma unroll 1
    for (int i = 0; i < 8 && n + i < to.n; ++i) {
      if (to.f32) {
        store_sum<float>(to, t, n + i, sums[i]);
      } else {
        store_sum<T>(to, t, n + i, sums[i]);
      }
    }
    return;
  }
  const float4 low = *reinterpret_cast<const float4*>(sums),
               high = *reinterpret_cast<const float4*>(sums + 4);
  float eight[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
  if (to.bias != nullptr) {
#pragma unroll
    for (int i = 0; i < 8; ++i) eight[i] += to.bias[n + i];
  }
  if (to.f32) {
    store_pack_of_sums<float>(to, t, n, eight);
    store_pack_of_sums<float>(to, t, n + 4, eight + 4);
  } else {
    store_pack_of_sums<T>(to, t, n, eight);
  }
}

// gates[i] = the activation's product of gates[i] and ups[i] of eight in 16-byte aligned shared memory.
template <Activation kActivation>
__device__ __forceinline__ void gate_eight_by(float* gates, const float* ups) {
#pragma unroll 1
  for (int i = 0; i < 8; i += 4) {
    float4 gate = *reinterpret_cast<const float4*>(gates + i);
    const float4 up = *reinterpret_cast<const float4*>(ups + i);
    gate.x = gated<kActivation>(gate.x, up.x);
    gate.y = gated<kActivation>(gate.y, up.y);
    gate.z = gated<kActivation>(gate.z, up.z);
    gate.w = gated<kActivation>(gate.w, up.w);
    *reinterpret_cast<float4*>(gates + i) = gate;
  }
}
// gates and ups of columns [n, n + 8) of `size`; bias [2 size].
__device__ __forceinline__ void add_gate_bias(const float* bias, int n, int size, float* gates,
                                              float* ups) {
#pragma unroll 1
  for (int i = 0; i < 8 && n + i < size; ++i) {
    gates[i] += bias[n + i];
    ups[i] += bias[size + n + i];
  }
}
__device__ __forceinline__ void gate_eight(float* gates, const float* ups, Activation activation) {
  switch (activation) {
    case Activation::kSilu: return gate_eight_by<Activation::kSilu>(gates, ups);
    case Activation::kGelu: return gate_eight_by<Activation::kGelu>(gates, ups);
    case Activation::kGeluTanh: return gate_eight_by<Activation::kGeluTanh>(gates, ups);
    case Activation::kClampedSwiglu: return gate_eight_by<Activation::kClampedSwiglu>(gates, ups);
  }
}

// A fragment of 8 rows of x and 16 columns: element 2 h + c is row t + c, column n + 8 h.
// visit(element, row, column) for those that are there.
template <class Visit>
__device__ __forceinline__ void each_of_fragment(const GemmOutput& to, int64_t t, int n,
                                                 Visit&& visit) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (t + i % 2 < to.rows && n + i / 2 * 8 < to.n) visit(i, t + i % 2, n + i / 2 * 8);
  }
}

// What a fragment's sums are added to: the bias, and `out` as it is. Loaded ahead of the sums.
struct FragmentAddends {
  float bias[2] = {}, before[4] = {};
};
template <class T>
__device__ __forceinline__ FragmentAddends load_addends(const GemmOutput& to, int64_t t, int n) {
  FragmentAddends addends;
  if (to.bias == nullptr && !to.add) return addends;
  each_of_fragment(to, t, n, [&](int i, int64_t row, int column) {
    const int64_t at = row * to.stride + column;
    if (to.bias != nullptr) addends.bias[i / 2] = to.bias[column];
    if (!to.add) return;
    addends.before[i] = to.f32 ? static_cast<const float*>(to.out)[at]
                               : to_float(static_cast<const T*>(to.out)[at]);
  });
  return addends;
}

template <class T>
__device__ __forceinline__ void store_fragment(const GemmOutput& to, int64_t t, int n,
                                               const float (&sums)[4],
                                               const FragmentAddends& addends) {
  each_of_fragment(to, t, n, [&](int i, int64_t row, int column) {
    const int64_t at = row * to.stride + column;
    const float sum = sums[i] + addends.bias[i / 2] + addends.before[i];
    if (to.f32) {
      static_cast<float*>(to.out)[at] = sum;
    } else {
      static_cast<T*>(to.out)[at] = from_float<T>(sum);
    }
  });
}

}  // namespace lmdeploy::cuda
