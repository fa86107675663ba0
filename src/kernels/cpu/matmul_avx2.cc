#include "kernels/cpu/matmul_int8_panels.h"
#include "kernels/cpu/matmul_plain_panels.h"
#include "kernels/cpu/matmul_vector_avx2.h"

namespace lmdeploy::cpu {

namespace {

struct Avx2 : Avx2Vector {
  static constexpr bool kSignedBytes = true;

  // vpmaddubsw adds pairs in int16; below 8 bits several steps' pairs fit: 127 * 2 * 2^Bits * steps
  // stays under 2^15 for 8 steps of 4 bits, 4 of 5, 2 of 6.
  template <int Bits, int Steps, int M>
  static void add_dots(const __m256i* codes, const int8_t* x, __m256i (&sum)[M]) {
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) sum[m] = add_dot<Bits, Steps>(codes, x + 32 * m, sum[m]);
  }

  template <int Bits, int Steps>
  static __m256i add_dot(const __m256i* codes, const int8_t* x, __m256i sum) {
    const __m256i ones = _mm256_set1_epi16(1);
    if constexpr (Bits == 8) {
#pragma GCC unroll 8
      for (int s = 0; s < Steps; ++s) {
        const __m256i code = _mm256_xor_si256(codes[s], _mm256_set1_epi8(-128));
        const __m256i signed_x = _mm256_sign_epi8(broadcast4(x + 4 * s), code);
        const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(code), signed_x);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
      }
      return sum;
    }
    constexpr int kRun = Bits == 4 ? Steps : Bits == 5 ? 4 : 2;
#pragma GCC unroll 4
    for (int s = 0; s < Steps; s += kRun) {
      __m256i pairs = _mm256_maddubs_epi16(codes[s], broadcast4(x + 4 * s));
#pragma GCC unroll 8
      for (int i = s + 1; i < s + kRun; ++i) {
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(codes[i], broadcast4(x + 4 * i)));
      }
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
    return sum;
  }
};

}  // namespace

void int8_panels_avx2(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out,
                      int64_t begin, int64_t end) {
  multiply_int8<Avx2>(w, x, out, begin, end);
}

void plain_panels_avx2(const PanelMatrix& w, const PlainRows& x, const MatmulOutput& out, int64_t begin,
                       int64_t end) {
  multiply_plain<Avx2>(w, x, out, begin, end);
}

}  // namespace lmdeploy::cpu
