// F32Vec of AVX2 + FMA + F16C: 8 floats. Only for *_avx2.cc files; see vec_avx512.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace lmdeploy::cpu::avx2 {
// Unnamed: templates over F32Vec are each file's own, so that none built for another instruction set
// is linked in its place.
namespace {

struct F32Vec {
  __m256 v;
  static constexpr int kLanes = 8;
  static constexpr int kTileVectors = 2;  // columns of a register tile of 6 rows (tile_gemm.h)

  static __m256i first(int count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane);
  }
  // 0, 1, 2, ...
  static F32Vec lane_numbers() { return {_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7)}; }
  static F32Vec zero() { return {_mm256_setzero_ps()}; }
  static F32Vec all(float x) { return {_mm256_set1_ps(x)}; }
  static F32Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
  // The first `count` lanes; the others are 0.
  static F32Vec load(const float* p, int count) { return {_mm256_maskload_ps(p, first(count))}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  void store(float* p, int count) const { _mm256_maskstore_ps(p, first(count), v); }

  static F32Vec load_f16(const uint16_t* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }
  static F32Vec load_bf16(const uint16_t* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16))};
  }
  // The first `count` elements, fewer than kLanes; the other lanes are 0.
  static F32Vec load_f16(const uint16_t* p, int count) {
    alignas(16) uint16_t some[kLanes];
    return load_f16(first_halves(p, count, some));
  }
  static F32Vec load_bf16(const uint16_t* p, int count) {
    alignas(16) uint16_t some[kLanes];
    return load_bf16(first_halves(p, count, some));
  }
  // The first `count` of 2 kLanes bf16, the others 0: a pair in each lane.
  static F32Vec load_pairs(const uint16_t* p, int count) {
    if (count >= 2 * kLanes) return load(reinterpret_cast<const float*>(p));
    alignas(32) uint16_t some[2 * kLanes];
    for (int i = 0; i < 2 * kLanes; ++i) some[i] = i < count ? p[i] : 0;
    return load(reinterpret_cast<const float*>(some));
  }
  // The first and the second bf16 of each pair.
  F32Vec first_bf16() const {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(v), 16))};
  }
  F32Vec second_bf16() const {
    return {_mm256_and_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(0xFFFF0000u))))};
  }
  static const uint16_t* first_halves(const uint16_t* p, int count, uint16_t some[kLanes]) {
    for (int i = 0; i < kLanes; ++i) some[i] = i < count ? p[i] : 0;
    return some;
  }
  // Rounded to nearest even; beyond the largest finite f16 becomes that; NaN stays NaN.
  void store_f16(uint16_t* p, int count) const {
    const __m256 most = _mm256_set1_ps(65504.0f);
    const __m256 limited =
        _mm256_min_ps(most, _mm256_max_ps(_mm256_sub_ps(_mm256_setzero_ps(), most), v));
    store_halves(p, count, _mm256_cvtps_ph(limited, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  void store_bf16(uint16_t* p, int count) const {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256 nan = _mm256_cmp_ps(v, v, _CMP_UNORD_Q);
    const __m256i high =
        _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(nan)), 16);
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(high, high), 0x08);
    store_halves(p, count, _mm256_castsi256_si128(packed));
  }
  static void store_halves(uint16_t* p, int count, __m128i bits) {
    if (count >= kLanes) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bits);
      return;
    }
    alignas(16) uint16_t all[8];
    _mm_store_si128(reinterpret_cast<__m128i*>(all), bits);
    for (int i = 0; i < count; ++i) p[i] = all[i];
  }

  // NaN in the second operand comes out.
  static F32Vec min(F32Vec a, F32Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
  static F32Vec max(F32Vec a, F32Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
  F32Vec abs() const { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), v)}; }
  // Nearest integer, ties to even.
  F32Vec round() const {
    return {_mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  // *this * 2^n; n is integral, |n| < 250 (two steps, so that subnormal results come out).
  F32Vec scale_by_power(F32Vec n) const {
    const __m256i power = _mm256_cvtps_epi32(n.v);
    const __m256i half = _mm256_srai_epi32(power, 1);
    const __m256i bias = _mm256_set1_epi32(127);
    const __m256i a = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    const __m256i b = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(power, half), bias), 23);
    return {_mm256_mul_ps(_mm256_mul_ps(v, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b))};
  }
  // *this * 2^n where x >= least or is NaN, else 0; n is the lower bits of `shifted`, and the result normal.
  F32Vec times_power(F32Vec shifted, F32Vec x, F32Vec least) const {
    const __m256i power = _mm256_slli_epi32(_mm256_castps_si256(shifted.v), 23);
    const __m256i sum = _mm256_add_epi32(_mm256_castps_si256(v), power);
    return {_mm256_and_ps(_mm256_castsi256_ps(sum), _mm256_cmp_ps(x.v, least.v, _CMP_NLT_UQ))};
  }
  // 1 / *this, for finite normal numbers.
  F32Vec reciprocal() const { return {_mm256_div_ps(_mm256_set1_ps(1.0f), v)}; }
  float first_lane() const { return _mm256_cvtss_f32(v); }
  float sum() const {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }
  float max() const {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
  }

  // Lanes where x < y take a, others b.
  static F32Vec select_less(F32Vec x, F32Vec y, F32Vec a, F32Vec b) {
    return {_mm256_blendv_ps(b.v, a.v, _mm256_cmp_ps(x.v, y.v, _CMP_LT_OQ))};
  }
  // Lanes [begin, end) keep their value, others take `other`.
  F32Vec keep_lanes(int begin, int end, F32Vec other) const {
    const __m256i mask = _mm256_andnot_si256(first(begin), first(end));
    return {_mm256_blendv_ps(other.v, v, _mm256_castsi256_ps(mask))};
  }
  // Bit i: lane i >= threshold (false for NaN).
  uint32_t at_least(F32Vec threshold) const {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(v, threshold.v, _CMP_GE_OQ)));
  }
  // Lanes whose bit is set keep their value, others take `other`.
  F32Vec keep_bits(uint32_t bits, F32Vec other) const {
    const __m256i lane_bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane_bit);
    return {_mm256_blendv_ps(other.v, v, _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, lane_bit)))};
  }
  // The sum of the lanes in double.
  double sum_double() const {
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
    const __m256d s = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)));
    const __m128d t = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
    return _mm_cvtsd_f64(_mm_add_sd(t, _mm_unpackhi_pd(t, t)));
  }
  // Sine and cosine of quadrant n (an integral float): swaps where n is odd, negates by quadrant.
  static void place_quadrant(F32Vec n, F32Vec sine, F32Vec cosine, F32Vec& out_sine,
                             F32Vec& out_cosine) {
    const __m256i q = _mm256_cvtps_epi32(n.v);
    const __m256i two = _mm256_set1_epi32(2);
    const __m256 odd = _mm256_castsi256_ps(_mm256_slli_epi32(q, 31));
    const __m256i sine_sign = _mm256_slli_epi32(_mm256_and_si256(q, two), 30);
    const __m256i cosine_sign =
        _mm256_slli_epi32(_mm256_and_si256(_mm256_add_epi32(q, _mm256_set1_epi32(1)), two), 30);
    const __m256 s = _mm256_blendv_ps(sine.v, cosine.v, odd);
    const __m256 c = _mm256_blendv_ps(cosine.v, sine.v, odd);
    out_sine = {_mm256_xor_ps(s, _mm256_castsi256_ps(sine_sign))};
    out_cosine = {_mm256_xor_ps(c, _mm256_castsi256_ps(cosine_sign))};
  }
};

inline F32Vec operator+(F32Vec a, F32Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline F32Vec operator-(F32Vec a, F32Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline F32Vec operator*(F32Vec a, F32Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline F32Vec operator/(F32Vec a, F32Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
// a * b + c and c - a * b, rounded once.
inline F32Vec fma(F32Vec a, F32Vec b, F32Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline F32Vec fnma(F32Vec a, F32Vec b, F32Vec c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }

// Transposes an 8 x 8 tile: in[i] is row i.
inline void transpose(F32Vec in[8]) {
  __m256 t[8], u[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(in[i].v, in[i + 1].v);
    t[i + 1] = _mm256_unpackhi_ps(in[i].v, in[i + 1].v);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int j = 0; j < 2; ++j) {
      u[i + 2 * j] = _mm256_shuffle_ps(t[i + j], t[i + j + 2], 0x44);
      u[i + 2 * j + 1] = _mm256_shuffle_ps(t[i + j], t[i + j + 2], 0xEE);
    }
  }
  for (int j = 0; j < 4; ++j) {
    in[j] = {_mm256_permute2f128_ps(u[j], u[4 + j], 0x20)};
    in[4 + j] = {_mm256_permute2f128_ps(u[j], u[4 + j], 0x31)};
  }
}

}  // namespace
}  // namespace lmdeploy::cpu::avx2
