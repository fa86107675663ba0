// AVX2, FMA and F16C operations of the vector kernels; see matmul_scalar.cc for their meaning.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace lmdeploy::cpu {
namespace {

struct Avx2Vector {
  static constexpr int kLanes = 8;
  static constexpr int kMaxRows = 4;
  using Codes = __m256i;
  using Int = __m256i;
  using Float = __m256;

  static Float zero() { return _mm256_setzero_ps(); }
  static Float set1(float x) { return _mm256_set1_ps(x); }
  static Int set1(int32_t x) { return _mm256_set1_epi32(x); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static void store(float* to, Float x) { _mm256_storeu_ps(to, x); }
  static Float bits_as_float(__m256i x) { return _mm256_castsi256_ps(x); }

  static Float load_f32(const void* from) { return _mm256_loadu_ps(static_cast<const float*>(from)); }
  static Float load_f16(const void* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(from)));
  }
  static Float load_i8(const void* from) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(from))));
  }
  static Float load_bf16(const void* from, int odd) {
    const __m256i pairs = load(from);
    const __m256i bits = odd ? _mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xFFFF0000u)))
                             : _mm256_slli_epi32(pairs, 16);
    return _mm256_castsi256_ps(bits);
  }

  static __m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
  static __m256i low_nibble(__m256i x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
  static __m256i high_nibble(__m256i x) { return low_nibble(_mm256_srli_epi16(x, 4)); }

  // a | (b & mask)
  static __m256i merge(__m256i a, __m256i b, char mask) {
    return _mm256_or_si256(a, _mm256_and_si256(b, _mm256_set1_epi8(mask)));
  }
  static void add_bit_planes(__m256i (&codes)[8], __m256i high) {
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) {
      codes[s] = merge(codes[s], _mm256_slli_epi16(high, 4 - s), 0x10);
      codes[s + 4] = merge(codes[s + 4], _mm256_srli_epi16(high, s), 0x10);
    }
  }
  static void add_bit_pairs(__m256i (&codes)[8], __m256i first, __m256i second) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m256i high = half == 0 ? first : second;
      __m256i* code = codes + 4 * half;
      code[0] = merge(code[0], _mm256_slli_epi16(high, 4), 0x30);
      code[1] = merge(code[1], _mm256_slli_epi16(high, 2), 0x30);
      code[2] = merge(code[2], high, 0x30);
      code[3] = merge(code[3], _mm256_srli_epi16(high, 2), 0x30);
    }
  }
  static __m256i broadcast4(const int8_t* x) {
    int32_t value;
    std::memcpy(&value, x, 4);
    return _mm256_set1_epi32(value);
  }
};

}  // namespace
}  // namespace lmdeploy::cpu
