#include <immintrin.h>

#include "kernels/cpu/quantize_rows_driver.h"

namespace lmdeploy::cpu {

namespace {

__m512i max2(__m512i a, __m512i b) { return _mm512_max_epi32(a, b); }

// Lane i: the largest lane of v[i].
__m512i largest_lanes(const __m512i (&v)[16]) {
  __m512i pairs[8], fours[4];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const __m512i a = v[2 * i], b = v[2 * i + 1];
    pairs[i] = max2(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512i a = pairs[2 * i], b = pairs[2 * i + 1];
    fours[i] = max2(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  }
  const auto halves = [](__m512i a, __m512i b) {
    return max2(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD));
  };
  return halves(halves(fours[0], fours[1]), halves(fours[2], fours[3]));
}

__m512i round_codes(const float* x, float inverse) {
  return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), _mm512_set1_ps(inverse)));
}

// Two groups of 32 codes, in order.
__m512i quantize_pair(const float* first, float first_inverse, const float* second,
                      float second_inverse) {
  const __m512i a =
      _mm512_packs_epi32(round_codes(first, first_inverse), round_codes(first + 16, first_inverse));
  const __m512i b = _mm512_packs_epi32(round_codes(second, second_inverse),
                                       round_codes(second + 16, second_inverse));
  // Packing works within 128 bits: words L, 4 + L, ... are of lane L.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, _mm512_packs_epi16(a, b));
}

// In both words of 64 bits, for each 16 codes, 0x80 * 16 more than their sum.
__m512i sums_of_16(__m512i codes) {
  const __m512i sums =
      _mm512_sad_epu8(_mm512_xor_si512(codes, _mm512_set1_epi8(-128)), _mm512_setzero_si512());
  return _mm512_add_epi64(sums, _mm512_shuffle_epi32(sums, _MM_PERM_BADC));
}

// From sums_of_16 of 8 pairs of groups.
void store_half_sums(const __m512i (&sums)[8], QuantizedGroups<16>& groups) {
  // Of two vectors, the first halves' sums of 4 groups, then the second halves'.
  const __m512i gather =
      _mm512_setr_epi32(0, 8, 16, 24, 4, 12, 20, 28, 0, 8, 16, 24, 4, 12, 20, 28);
  const __m512i join = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  __m512i four[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    four[i] = _mm512_permutex2var_epi32(sums[2 * i], gather, sums[2 * i + 1]);
  const __m512i low = _mm512_permutex2var_epi32(four[0], join, four[1]);
  const __m512i high = _mm512_permutex2var_epi32(four[2], join, four[3]);
  const __m512i bias = _mm512_set1_epi32(0x80 * 16);
  const auto store = [bias](int32_t* to, __m512i sum) {
    _mm512_storeu_si512(to, _mm512_sub_epi32(sum, bias));
  };
  store(groups.half_sum[0], _mm512_shuffle_i64x2(low, high, 0x44));
  store(groups.half_sum[1], _mm512_shuffle_i64x2(low, high, 0xEE));
}

void quantize_groups(const float* const (&from)[16], int8_t* codes, QuantizedGroups<16>& groups) {
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  __m512i bits[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    bits[i] = max2(_mm512_and_si512(_mm512_loadu_si512(from[i]), magnitude),
                   _mm512_and_si512(_mm512_loadu_si512(from[i] + 16), magnitude));
  }
  const __m512i largest = largest_lanes(bits);
  const __m512 absmax = _mm512_castsi512_ps(largest), most = _mm512_set1_ps(127.0f);
  _mm512_storeu_ps(groups.scale, _mm512_div_ps(absmax, most));
  alignas(64) float inverse[16];
  _mm512_store_ps(inverse,
                  _mm512_maskz_div_ps(_mm512_test_epi32_mask(largest, largest), most, absmax));
  __m512i sums[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const __m512i pair =
        quantize_pair(from[2 * i], inverse[2 * i], from[2 * i + 1], inverse[2 * i + 1]);
    _mm512_storeu_si512(codes + 64 * i, pair);
    sums[i] = sums_of_16(pair);
  }
  store_half_sums(sums, groups);
}

}  // namespace

void quantize_rows_avx512(const float* x, int64_t stride, int64_t begin, int64_t end,
                          const QuantizedRows& out) {
  quantize_blocks<16>(x, stride, begin, end, out, quantize_groups);
}

}  // namespace lmdeploy::cpu
