// F32Vec of AVX-512: 16 floats. Only for *_avx512*.cc files; vec_avx2.h is the same in 8 lanes, and
// the *_body.h templates are written once over both.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace lmdeploy::cpu::avx512 {
// Unnamed: templates over F32Vec are each file's own, so that none built for another instruction set
// is linked in its place.
namespace {

struct F32Vec {
  __m512 v;
  static constexpr int kLanes = 16;
  static constexpr int kTileVectors = 4;  // columns of a register tile of 6 rows (tile_gemm.h)

  static __mmask16 first(int count) {
    if (count <= 0) return 0;
    return static_cast<__mmask16>(count >= kLanes ? 0xFFFFu : (1u << count) - 1u);
  }
  // 0, 1, 2, ...
  static F32Vec lane_numbers() {
    return {_mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)};
  }
  static F32Vec zero() { return {_mm512_setzero_ps()}; }
  static F32Vec all(float x) { return {_mm512_set1_ps(x)}; }
  static F32Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  // The first `count` lanes; the others are 0.
  static F32Vec load(const float* p, int count) { return {_mm512_maskz_loadu_ps(first(count), p)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void store(float* p, int count) const { _mm512_mask_storeu_ps(p, first(count), v); }

  static F32Vec load_f16(const uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static F32Vec load_bf16(const uint16_t* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
  }
  // The first `count` elements, fewer than kLanes; the other lanes are 0.
  static F32Vec load_f16(const uint16_t* p, int count) {
    return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(count), p))};
  }
  static F32Vec load_bf16(const uint16_t* p, int count) {
    const __m256i bits = _mm256_maskz_loadu_epi16(first(count), p);
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
  }
  // The first `count` of 2 kLanes bf16, the others 0: a pair in each lane.
  static F32Vec load_pairs(const uint16_t* p, int count) {
    const __mmask32 mask = count >= 2 * kLanes ? 0xFFFFFFFFu : (1u << count) - 1u;
    return {_mm512_castsi512_ps(_mm512_maskz_loadu_epi16(mask, p))};
  }
  // The first and the second bf16 of each pair.
  F32Vec first_bf16() const {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(v), 16))};
  }
  F32Vec second_bf16() const {
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u));
    return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(v), upper))};
  }
  // Rounded to nearest even; beyond the largest finite f16 becomes that; NaN stays NaN.
  void store_f16(uint16_t* p, int count) const {
    const __m512 most = _mm512_set1_ps(65504.0f);
    const __m512 limited =
        _mm512_min_ps(most, _mm512_max_ps(_mm512_sub_ps(_mm512_setzero_ps(), most), v));
    const __m256i bits = _mm512_cvtps_ph(limited, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm256_mask_storeu_epi16(p, first(count), bits);
  }
  void store_bf16(uint16_t* p, int count) const {
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    rounded = _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), quiet);
    _mm256_mask_storeu_epi16(p, first(count),
                             _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
  }

  // NaN in the second operand comes out.
  static F32Vec min(F32Vec a, F32Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
  static F32Vec max(F32Vec a, F32Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
  F32Vec abs() const { return {_mm512_abs_ps(v)}; }
  // Nearest integer, ties to even.
  F32Vec round() const {
    return {_mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  // *this * 2^n; n is integral, |n| < 300.
  F32Vec scale_by_power(F32Vec n) const { return {_mm512_scalef_ps(v, n.v)}; }
  // *this * 2^n where x >= least or is NaN, else 0; n is the lower bits of `shifted`, and the result normal.
  F32Vec times_power(F32Vec shifted, F32Vec x, F32Vec least) const {
    const __mmask16 keep = _mm512_cmp_ps_mask(x.v, least.v, _CMP_NLT_UQ);
    const __m512i power = _mm512_slli_epi32(_mm512_castps_si512(shifted.v), 23);
    return {_mm512_castsi512_ps(_mm512_maskz_add_epi32(keep, _mm512_castps_si512(v), power))};
  }
  // 1 / *this within an ulp, for finite normal numbers: a division would take 16 cycles.
  F32Vec reciprocal() const {
    const __m512 y = _mm512_rcp14_ps(v);
    return {_mm512_fmadd_ps(y, _mm512_fnmadd_ps(v, y, _mm512_set1_ps(1.0f)), y)};
  }
  float first_lane() const { return _mm512_cvtss_f32(v); }
  float sum() const { return _mm512_reduce_add_ps(v); }
  float max() const { return _mm512_reduce_max_ps(v); }

  // Lanes where x < y take a, others b.
  static F32Vec select_less(F32Vec x, F32Vec y, F32Vec a, F32Vec b) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, y.v, _CMP_LT_OQ), b.v, a.v)};
  }
  // Lanes [begin, end) keep their value, others take `other`.
  F32Vec keep_lanes(int begin, int end, F32Vec other) const {
    const __mmask16 mask = static_cast<__mmask16>(first(end) & ~first(begin));
    return {_mm512_mask_blend_ps(mask, other.v, v)};
  }
  // Bit i: lane i >= threshold (false for NaN).
  uint32_t at_least(F32Vec threshold) const {
    return _mm512_cmp_ps_mask(v, threshold.v, _CMP_GE_OQ);
  }
  // Lanes whose bit is set keep their value, others take `other`.
  F32Vec keep_bits(uint32_t bits, F32Vec other) const {
    return {_mm512_mask_blend_ps(static_cast<__mmask16>(bits), other.v, v)};
  }
  // The sum of the lanes in double.
  double sum_double() const {
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
    return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
  }
  // Sine and cosine of quadrant n (an integral float): swaps where n is odd, negates by quadrant.
  static void place_quadrant(F32Vec n, F32Vec sine, F32Vec cosine, F32Vec& out_sine,
                             F32Vec& out_cosine) {
    const __m512i q = _mm512_cvtps_epi32(n.v);
    const __mmask16 odd = _mm512_test_epi32_mask(q, _mm512_set1_epi32(1));
    const __m512i sine_sign = _mm512_slli_epi32(_mm512_and_si512(q, _mm512_set1_epi32(2)), 30);
    const __m512i cosine_sign = _mm512_slli_epi32(
        _mm512_and_si512(_mm512_add_epi32(q, _mm512_set1_epi32(1)), _mm512_set1_epi32(2)), 30);
    const __m512 s = _mm512_mask_blend_ps(odd, sine.v, cosine.v);
    const __m512 c = _mm512_mask_blend_ps(odd, cosine.v, sine.v);
    out_sine = {_mm512_xor_ps(s, _mm512_castsi512_ps(sine_sign))};
    out_cosine = {_mm512_xor_ps(c, _mm512_castsi512_ps(cosine_sign))};
  }
};

inline F32Vec operator+(F32Vec a, F32Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F32Vec operator-(F32Vec a, F32Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F32Vec operator*(F32Vec a, F32Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F32Vec operator/(F32Vec a, F32Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
// a * b + c and c - a * b, rounded once.
inline F32Vec fma(F32Vec a, F32Vec b, F32Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F32Vec fnma(F32Vec a, F32Vec b, F32Vec c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }

// Transposes a 16 x 16 tile: in[i] is row i.
inline void transpose(F32Vec in[16]) {
  __m512 t[16], u[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(in[i].v, in[i + 1].v);
    t[i + 1] = _mm512_unpackhi_ps(in[i].v, in[i + 1].v);
  }
  for (int i = 0; i < 16; i += 4) {
    for (int j = 0; j < 2; ++j) {
      const __m512d a = _mm512_castps_pd(t[i + j]), b = _mm512_castps_pd(t[i + j + 2]);
      u[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      u[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
  }
  for (int j = 0; j < 4; ++j) {  // u[4 g + j] lane L holds column 4 L + j of rows 4 g .. 4 g + 3
    const __m512 a = _mm512_shuffle_f32x4(u[j], u[4 + j], 0x88);
    const __m512 b = _mm512_shuffle_f32x4(u[j], u[4 + j], 0xDD);
    const __m512 c = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0x88);
    const __m512 d = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0xDD);
    in[j] = {_mm512_shuffle_f32x4(a, c, 0x88)};
    in[4 + j] = {_mm512_shuffle_f32x4(b, d, 0x88)};
    in[8 + j] = {_mm512_shuffle_f32x4(a, c, 0xDD)};
    in[12 + j] = {_mm512_shuffle_f32x4(b, d, 0xDD)};
  }
}

}  // namespace
}  // namespace lmdeploy::cpu::avx512
