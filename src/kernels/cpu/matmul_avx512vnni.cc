#include "kernels/cpu/matmul_int8_tiles.h"
#include "kernels/cpu/matmul_vector_avx512.h"

namespace lmdeploy::cpu {

namespace {

struct Avx512Vnni : Avx512Vector {
  static constexpr bool kSignedBytes = false;
  static constexpr int64_t kTileFrom = 32;  // rows, from which the tiles are faster
  static constexpr int kTileRows = 4;
  static constexpr int kTilePanels = 3;

  static __m512i dot(__m512i sum, __m512i codes, __m512i x) { return _mm512_dpbusd_epi32(sum, codes, x); }

  // Steps outside, so that M independent chains are in flight; few rows get more chains.
  template <int Bits, int Steps, int M>
  static void add_dots(const __m512i* codes, const int8_t* x, __m512i (&sum)[M]) {
    if constexpr (M <= 2) {
#pragma GCC unroll 2
      for (int m = 0; m < M; ++m) {
        const int8_t* row = x + 32 * m;
        __m512i other = _mm512_setzero_si512();
#pragma GCC unroll 4
        for (int s = 0; s < Steps; s += 2) {
          sum[m] = _mm512_dpbusd_epi32(sum[m], codes[s], broadcast4(row + 4 * s));
          other = _mm512_dpbusd_epi32(other, codes[s + 1], broadcast4(row + 4 * s + 4));
        }
        sum[m] = _mm512_add_epi32(sum[m], other);
      }
      return;
    }
#pragma GCC unroll 8
    for (int s = 0; s < Steps; ++s) {
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        sum[m] = _mm512_dpbusd_epi32(sum[m], codes[s], broadcast4(x + 32 * m + 4 * s));
      }
    }
  }
};

}  // namespace

void int8_panels_avx512vnni(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out,
                            int64_t begin, int64_t end) {
  if (x.rows >= Avx512Vnni::kTileFrom) return multiply_int8_tiles<Avx512Vnni>(w, x, out, begin, end);
  multiply_int8<Avx512Vnni>(w, x, out, begin, end);
}

}  // namespace lmdeploy::cpu
