// The vector kernel of f32, f16 and (fp32 activations) bf16 weights, written once over an
// instruction set V. Included by matmul_<isa>.cc.
#pragma once

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

template <class V, DType D, int M>
void multiply_plain_tile(const std::byte* panel, int64_t k, const float* x, int64_t stride,
                         ResultTile& tile) {
  constexpr int kVectors = kPanelRows / V::kLanes;
  for (int v = 0; v < kVectors; ++v) {
    typename V::Float acc[M][2];
    for (auto& row : acc) row[0] = row[1] = V::zero();
    for (int64_t i = 0; i < k; ++i) {
      const int odd = static_cast<int>(i % 2);
      const auto weight = plain_weights<V, D>(panel, i / 2, odd, v * V::kLanes);
      for (int m = 0; m < M; ++m) acc[m][odd] = V::fma(weight, V::set1(x[m * stride + i]), acc[m][odd]);
    }
    for (int m = 0; m < M; ++m) {
      V::store(tile.value[m] + v * V::kLanes, V::add(acc[m][0], acc[m][1]));
    }
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
        multiply_plain_tile<V, D, M>(data, w.k, x.f32 + m * x.stride, x.stride, tile);
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
