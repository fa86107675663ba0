#include "kernels/cpu/matmul_int8_panels.h"
#include "kernels/cpu/matmul_plain_panels.h"
#include "kernels/cpu/matmul_vector_avx512.h"

namespace lmdeploy::cpu {

namespace {

struct Avx512 : Avx512Vector {
  static constexpr bool kSignedBytes = true;

  // As in matmul_avx2.cc: several steps share an int16 sum where they cannot overflow it.
  template <int Bits, int Steps, int M>
  static void add_dots(const __m512i* codes, const int8_t* x, __m512i (&sum)[M]) {
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) sum[m] = add_dot<Bits, Steps>(codes, x + 32 * m, sum[m]);
  }

  template <int Bits, int Steps>
  static __m512i add_dot(const __m512i* codes, const int8_t* x, __m512i sum) {
    const __m512i ones = _mm512_set1_epi16(1);
    if constexpr (Bits == 8) {
#pragma GCC unroll 8
      for (int s = 0; s < Steps; ++s) {
        const __m512i code = _mm512_xor_si512(codes[s], _mm512_set1_epi8(-128));
        const __m512i value = broadcast4(x + 4 * s);
        const __m512i signed_x =
            _mm512_mask_sub_epi8(value, _mm512_movepi8_mask(code), _mm512_setzero_si512(), value);
        const __m512i pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(code), signed_x);
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, ones));
      }
      return sum;
    }
    constexpr int kRun = Bits == 4 ? Steps : Bits == 5 ? 4 : 2;
#pragma GCC unroll 4
    for (int s = 0; s < Steps; s += kRun) {
      __m512i pairs = _mm512_maddubs_epi16(codes[s], broadcast4(x + 4 * s));
#pragma GCC unroll 8
      for (int i = s + 1; i < s + kRun; ++i) {
        pairs = _mm512_add_epi16(pairs, _mm512_maddubs_epi16(codes[i], broadcast4(x + 4 * i)));
      }
      sum = _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, ones));
    }
    return sum;
  }
};

}  // namespace

void int8_panels_avx512(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out,
                        int64_t begin, int64_t end) {
  multiply_int8<Avx512>(w, x, out, begin, end);
}

void plain_panels_avx512(const PanelMatrix& w, const PlainRows& x, const MatmulOutput& out, int64_t begin,
                         int64_t end) {
  multiply_plain<Avx512>(w, x, out, begin, end);
}

}  // namespace lmdeploy::cpu
