// AVX-512 (F BW VL DQ) operations of the vector kernels; see matmul_scalar.cc for their meaning.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace lmdeploy::cpu {
namespace {

struct Avx512Vector {
  static constexpr int kLanes = 16;
  static constexpr int kMaxRows = 16;
  using Codes = __m512i;
  using Int = __m512i;
  using Float = __m512;

  static Float zero() { return _mm512_setzero_ps(); }
  static Float set1(float x) { return _mm512_set1_ps(x); }
  static Int set1(int32_t x) { return _mm512_set1_epi32(x); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static void store(float* to, Float x) { _mm512_storeu_ps(to, x); }
  static void store(std::byte* to, Codes x) { _mm512_storeu_si512(to, x); }
  static Float bits_as_float(__m512i x) { return _mm512_castsi512_ps(x); }

  static Float load_f32(const void* from) { return _mm512_loadu_ps(from); }
  static Float load_f16(const void* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(from)));
  }
  static Float load_i8(const void* from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(from))));
  }
  static Float load_bf16(const void* from, int odd) {
    const __m512i pairs = load(from);
    const __m512i bits = odd ? _mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xFFFF0000u)))
                             : _mm512_slli_epi32(pairs, 16);
    return _mm512_castsi512_ps(bits);
  }

  static __m512i load(const void* from) { return _mm512_loadu_si512(from); }
  static __m512i low_nibble(__m512i x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
  static __m512i high_nibble(__m512i x) { return low_nibble(_mm512_srli_epi16(x, 4)); }

  // a | (b & mask)
  static __m512i merge(__m512i a, __m512i b, char mask) {
    return _mm512_ternarylogic_epi32(a, b, _mm512_set1_epi8(mask), 0xF8);
  }
  static void add_bit_planes(__m512i (&codes)[8], __m512i high) {
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) {
      codes[s] = merge(codes[s], _mm512_slli_epi16(high, static_cast<unsigned>(4 - s)), 0x10);
      codes[s + 4] = merge(codes[s + 4], _mm512_srli_epi16(high, static_cast<unsigned>(s)), 0x10);
    }
  }
  static void add_bit_pairs(__m512i (&codes)[8], __m512i first, __m512i second) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m512i high = half == 0 ? first : second;
      __m512i* code = codes + 4 * half;
      code[0] = merge(code[0], _mm512_slli_epi16(high, 4), 0x30);
      code[1] = merge(code[1], _mm512_slli_epi16(high, 2), 0x30);
      code[2] = merge(code[2], high, 0x30);
      code[3] = merge(code[3], _mm512_srli_epi16(high, 2), 0x30);
    }
  }
  static __m512i broadcast4(const int8_t* x) {
    int32_t value;
    std::memcpy(&value, x, 4);
    return _mm512_set1_epi32(value);
  }
};

}  // namespace
}  // namespace lmdeploy::cpu
