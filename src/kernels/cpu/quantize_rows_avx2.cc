#include <immintrin.h>

#include "kernels/cpu/quantize_rows_driver.h"

namespace lmdeploy::cpu {

namespace {

uint32_t largest_bits(__m256i a) {
  __m128i half = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4E));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xB1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(half));
}

int32_t sum_codes(__m128i codes) {
  const __m256i words = _mm256_madd_epi16(_mm256_cvtepi8_epi16(codes), _mm256_set1_epi16(1));
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xB1)));
}

void quantize_group(const float* const (&from)[1], int8_t* codes, QuantizedGroups<1>& group) {
  const float* x = from[0];
  const __m256 v[4] = {_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8), _mm256_loadu_ps(x + 16),
                       _mm256_loadu_ps(x + 24)};
  const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
  __m256i largest = _mm256_setzero_si256();
  for (__m256 part : v) {
    largest = _mm256_max_epi32(largest, _mm256_and_si256(_mm256_castps_si256(part), magnitude));
  }
  const uint32_t bits = largest_bits(largest);
  const float absmax = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(bits))));
  const __m256 inverse = _mm256_set1_ps(bits == 0 ? 0.0f : 127.0f / absmax);
  __m256i words[4];
  for (int i = 0; i < 4; ++i) words[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));
  // Packing works within 128-bit halves; the permutation puts groups of 4 back in order.
  const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(words[0], words[1]),
                                            _mm256_packs_epi32(words[2], words[3]));
  const __m256i ordered =
      _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), ordered);
  group = {{absmax / 127.0f},
           {{sum_codes(_mm256_castsi256_si128(ordered))}, {sum_codes(_mm256_extracti128_si256(ordered, 1))}}};
}

}  // namespace

void quantize_rows_avx2(const float* x, int64_t stride, int64_t begin, int64_t end,
                        const QuantizedRows& out) {
  quantize_blocks<1>(x, stride, begin, end, out, quantize_group);
}

}  // namespace lmdeploy::cpu
