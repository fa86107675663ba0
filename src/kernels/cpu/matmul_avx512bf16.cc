// bf16 weights times bf16 activations with vdpbf16ps: two chains, over even and over odd pairs of
// k.
#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/matmul_tile.h"

namespace lmdeploy::cpu {

namespace {

constexpr int kPairs = 16;  // of elements in a step
constexpr int kStepElements = 2 * kPairs;

__m512bh load_weights(const std::byte* panel, int64_t pair) {
  return reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel + pair * kPanelRows * 4));
}

__m512bh broadcast_pair(const uint16_t* x) {
  int32_t pair;
  std::memcpy(&pair, x, sizeof(pair));
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
}

// Rows m0 ... m0 + M of the block at `block` times one panel.
template <int M>
void multiply_tile(const std::byte* panel, const Bf16Rows& x, int64_t block, int64_t m0,
                   ResultTile& tile) {
  __m512 even[M], odd[M];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) even[m] = odd[m] = _mm512_setzero_ps();
  for (int64_t step = 0; step < x.steps; ++step) {
    const uint16_t* values = bf16_step(x, block, step) + m0 * kStepElements;
#pragma GCC unroll 8
    for (int pair = 0; pair < kPairs; pair += 2) {
      const __m512bh first = load_weights(panel, step * kPairs + pair);
      const __m512bh second = load_weights(panel, step * kPairs + pair + 1);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        const uint16_t* at = values + m * kStepElements + 2 * pair;
        even[m] = _mm512_dpbf16_ps(even[m], first, broadcast_pair(at));
        odd[m] = _mm512_dpbf16_ps(odd[m], second, broadcast_pair(at + 2));
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) _mm512_store_ps(tile.value[m], _mm512_add_ps(even[m], odd[m]));
}

// 32 elements of a row, those from `count` on 0.
void round_step(const float* from, int64_t count, uint16_t* to) {
  const auto mask = [count](int64_t at) {
    const int64_t left = count - at;
    return static_cast<__mmask16>(left >= 16 ? 0xFFFF : left <= 0 ? 0 : (1 << left) - 1);
  };
  const __m512 low = _mm512_maskz_loadu_ps(mask(0), from);
  const __m512 high = _mm512_maskz_loadu_ps(mask(16), from + 16);
  _mm512_storeu_si512(to, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
}

}  // namespace

void round_rows_avx512bf16(const float* x, int64_t k, int64_t stride, int64_t begin, int64_t end,
                           const Bf16Rows& out, int64_t first_step) {
  for (int64_t block = begin; block < end; block += kRowBlock) {
    const int64_t rows = end - block < kRowBlock ? end - block : kRowBlock;
    for (int64_t i = 0; i < k; i += kStepElements) {
      uint16_t* to = bf16_step(out, block, first_step + i / kStepElements);
      const float* from = x + block * stride + i;
      for (int64_t row = 0; row < rows; ++row) {
        round_step(from + row * stride, k - i, to + row * kStepElements);
      }
    }
  }
}

void bf16_panels_avx512bf16(const PanelMatrix& w, const Bf16Rows& x, const MatmulOutput& out,
                            int64_t begin, int64_t end) {
  ResultTile tile;
  for (int64_t panel = begin; panel < end; ++panel) {
    const std::byte* data = w.panels + panel * static_cast<int64_t>(w.layout.bytes);
    for (int64_t row = 0; row < x.rows; row += kRowBlock) {
      const int64_t rows = x.rows - row < kRowBlock ? x.rows - row : kRowBlock;
      const auto run = [&]<int M>(int64_t& m) {
        for (; m + M <= rows; m += M) {
          multiply_tile<M>(data, x, row, m, tile);
          store_tile(w, out, panel, row + m, M, tile);
        }
      };
      int64_t m = 0;
      run.template operator()<8>(m);
      run.template operator()<4>(m);
      run.template operator()<2>(m);
      run.template operator()<1>(m);
    }
  }
}

}  // namespace lmdeploy::cpu
