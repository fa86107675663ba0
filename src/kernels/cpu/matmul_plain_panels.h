// The vector kernel of f32, f16 and bf16 weights with fp32 activations, written once over an
// instruction set V. Included by matmul_<isa>.cc.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/matmul_tile.h"

namespace lmdeploy::cpu {
namespace {

// Weights of elements k = 2 * pair + odd of V::kLanes rows from `lane` on.
template <class V, DType D>
typename V::Float plain_weights(const std::byte* panel, int64_t pair, int odd, int lane) {
  if constexpr (D == DType::kBF16) {
    return V::load_bf16(panel + (pair * kPanelRows + lane) * 4, odd);
  } else if constexpr (D == DType::kF16) {
    return V::load_f16(panel + ((2 * pair + odd) * kPanelRows + lane) * 2);
  }
  return V::load_f32(panel + ((2 * pair + odd) * kPanelRows + lane) * 4);
}

// Adds the products of element `odd` of a pair to that chain of every row.
template <class V, DType D, int M>
void add_products(const std::byte* panel, int64_t pair, int odd, int lane, const float* x, int64_t stride,
                  typename V::Float (&acc)[M]) {
  const typename V::Float weight = plain_weights<V, D>(panel, pair, odd, lane);
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    acc[m] = V::fma(weight, V::set1(x[m * stride + 2 * pair + odd]), acc[m]);
  }
}

// Pairs whose products are added up by themselves: one long chain over k rounds every product to the
// whole sum's size, which cost up to 1e-3 of a logit.
constexpr int64_t kRunPairs = 16;

template <class V, DType D, int M>
void multiply_plain_tile(const std::byte* panel, int64_t k, const float* x, int64_t stride,
                         ResultTile& tile) {
  for (int lane = 0; lane < kPanelRows; lane += V::kLanes) {
    typename V::Float sum[M], even[M], odd[M];
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) sum[m] = V::zero();
    for (int64_t begin = 0; begin < k / 2 || begin == 0; begin += kRunPairs) {
      const int64_t end = std::min(k / 2, begin + kRunPairs);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) even[m] = odd[m] = V::zero();
      for (int64_t pair = begin; pair < end; ++pair) {
        add_products<V, D, M>(panel, pair, 0, lane, x, stride, even);
        add_products<V, D, M>(panel, pair, 1, lane, x, stride, odd);
      }
      if (k % 2 != 0 && end == k / 2) add_products<V, D, M>(panel, k / 2, 0, lane, x, stride, even);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) sum[m] = V::add(sum[m], V::add(even[m], odd[m]));
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) V::store(tile.value[m] + lane, sum[m]);
  }
}

template <class V, DType D>
void multiply_plain_panels(const PanelMatrix& w, const PlainRows& x, const MatmulOutput& out,
                           int64_t begin, int64_t end) {
  ResultTile tile;
  for (int64_t panel = begin; panel < end; ++panel) {
    const std::byte* data = w.panels + panel * static_cast<int64_t>(w.layout.bytes);
    const auto run = [&]<int M>(int64_t& m) {
      for (; m + M <= x.rows; m += M) {
        multiply_plain_tile<V, D, M>(data, w.k, x.data + m * x.stride, x.stride, tile);
        store_tile(w, out, panel, m, M, tile);
      }
    };
    int64_t m = 0;
    if constexpr (V::kMaxRows >= 8) run.template operator()<8>(m);
    run.template operator()<4>(m);
    run.template operator()<2>(m);
    run.template operator()<1>(m);
  }
}

template <class V>
void multiply_plain(const PanelMatrix& w, const PlainRows& x, const MatmulOutput& out, int64_t begin,
                    int64_t end) {
  switch (w.format) {
    case DType::kF32: return multiply_plain_panels<V, DType::kF32>(w, x, out, begin, end);
    case DType::kF16: return multiply_plain_panels<V, DType::kF16>(w, x, out, begin, end);
    case DType::kBF16: return multiply_plain_panels<V, DType::kBF16>(w, x, out, begin, end);
    default: __builtin_unreachable();  // matmul.cc sends plain types here
  }
}

}  // namespace
}  // namespace lmdeploy::cpu
