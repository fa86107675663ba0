#include <immintrin.h>

#include "kernels/cpu/quantize_rows_driver.h"

namespace lmdeploy::cpu {

namespace {

int32_t sum_codes(__m128i codes) { return _mm512_reduce_add_epi32(_mm512_cvtepi8_epi32(codes)); }

QuantizedGroup quantize_group(const float* x, int8_t* codes) {
  const __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  const __m512i bits = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(low), magnitude),
                                        _mm512_and_si512(_mm512_castps_si512(high), magnitude));
  const int32_t largest = _mm512_reduce_max_epi32(bits);
  const float absmax = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(largest)));
  const __m512 inverse = _mm512_set1_ps(largest == 0 ? 0.0f : 127.0f / absmax);
  const __m128i first = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(low, inverse)));
  const __m128i second = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(high, inverse)));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(codes), first);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + 16), second);
  return {absmax / 127.0f, {sum_codes(first), sum_codes(second)}};
}

}  // namespace

void quantize_rows_avx512(const float* x, int64_t stride, int64_t begin, int64_t end,
                          const QuantizedRows& out) {
  quantize_blocks(x, stride, begin, end, out, quantize_group);
}

}  // namespace lmdeploy::cpu
