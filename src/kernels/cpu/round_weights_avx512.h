// Block-quantized weights as bf16, for tile products whose sums need no scale: a group's elements
// become scale * (code - zero) + min in fp32, of which the lower half is cut off. That takes half a unit
// of bf16 on average: 1/256 of a power of two. So scale and min are made larger by kCutOff first, which
// makes the error's product with the element zero on average over mantissas: E[m] / E[m^2] of 1/m is 2/3.
// The error's RMS is 6% above that of rounding to nearest.
//
// A code becomes a float without a conversion: at bits p, p + 1, ... of the number 2^(23 - p), whose
// mantissa is 0, it adds its value. One fma takes 2^(23 - p) off again: fma(2^(23 - p) + code, scale,
// min - (2^(23 - p) + zero) * scale). At p >= 8 that offset is rounded to at most scale / 512.
#pragma once

#include "kernels/cpu/dequant.h"
#include "kernels/cpu/matmul_int8_panels.h"
#include "kernels/cpu/matmul_vector_avx512.h"

namespace lmdeploy::cpu {
namespace {

inline constexpr float kCutOff = 1.0f + 2.0f / 3.0f / 256.0f;

// The factor, and the offsets of codes at bit 8, 12 and 16.
struct GroupLine {
  __m512 scale;
  __m512 offset[3];
};

template <DType D>
GroupLine group_line(const PanelLanes& at, int64_t g, int half) {
  constexpr auto kZero = static_cast<float>(zero_code(D));
  const __m512 cut_off = _mm512_set1_ps(kCutOff);
  const __m512 scale = _mm512_mul_ps(group_scale<Avx512Vector, D>(at, g, half), cut_off);
  __m512 min = _mm512_setzero_ps();
  if constexpr (has_min(D)) min = _mm512_mul_ps(group_min<Avx512Vector, D>(at, g), cut_off);
  const auto offset = [&](float power) {
    return _mm512_fnmadd_ps(scale, _mm512_set1_ps(power + kZero), min);
  };
  return {scale, {offset(1 << 15), offset(1 << 11), offset(1 << 7)}};
}

// scale * (code - zero) + min for the code of kBits at bit kAt of `codes`.
template <int kBits, int kAt>
[[gnu::always_inline]] inline __m512i element(const GroupLine& line, __m512i codes) {
  static_assert((kAt == 8 || kAt == 12 || kAt == 16) && kAt + kBits <= 23);
  const __m512i mask = _mm512_set1_epi32(((1 << kBits) - 1) << kAt);
  const __m512i power = _mm512_set1_epi32((127 + 23 - kAt) << 23);
  const __m512i biased = _mm512_ternarylogic_epi32(codes, mask, power, 0xEA);
  return _mm512_castps_si512(
      _mm512_fmadd_ps(_mm512_castsi512_ps(biased), line.scale, line.offset[kAt / 4 - 2]));
}

// The upper halves of two vectors of floats as pairs.
[[gnu::always_inline]] inline __m512i bf16_pairs(__m512i even, __m512i odd) {
  const __m512i upper = _mm512_broadcast_i32x4(_mm_set_epi32(0x0F0E0F0E, 0x0B0A0B0A, 0x07060706, 0x03020302));
  return _mm512_mask_shuffle_epi8(odd, 0x3333333333333333, even, upper);
}

// One step (4 elements of 16 rows) as two vectors of pairs.
[[gnu::always_inline]] inline void store_step(__m512i first, __m512i second, __m512i third,
                                              __m512i fourth, std::byte* to) {
  _mm512_store_si512(to, bf16_pairs(first, second));
  _mm512_store_si512(to + 64, bf16_pairs(third, fourth));
}

// A step of codes that have a byte each.
template <int kBits>
[[gnu::always_inline]] inline void round_step(const GroupLine& line, __m512i codes, std::byte* to) {
  const __m512i down = _mm512_slli_epi32(codes, 8), up = _mm512_srli_epi32(codes, 8);
  const __m512i first = element<kBits, 8>(line, down), second = element<kBits, 8>(line, codes);
  if constexpr (kBits == 8) {  // at bit 16 they would reach the exponent
    store_step(first, second, element<8, 8>(line, up),
               element<8, 8>(line, _mm512_srli_epi32(codes, 16)), to);
  } else {
    store_step(first, second, element<kBits, 16>(line, codes), element<kBits, 16>(line, up), to);
  }
}

// Two steps of 4-bit codes that share bytes: that of the lower halves and, four behind it, the other.
[[gnu::always_inline]] inline void round_nibbles(const GroupLine& line, __m512i codes, std::byte* to) {
  const __m512i down = _mm512_slli_epi32(codes, 8), up = _mm512_srli_epi32(codes, 8);
  store_step(element<4, 8>(line, down), element<4, 8>(line, codes), element<4, 16>(line, codes),
             element<4, 16>(line, up), to);
  store_step(element<4, 12>(line, down), element<4, 12>(line, codes), element<4, 12>(line, up),
             element<4, 12>(line, _mm512_srli_epi32(codes, 16)), to + 4 * 128);
}

// Group g of a panel in the bf16 layout of packed_layout.h: 1 KiB at `to`.
template <DType D>
[[gnu::always_inline]] inline void round_group(const PanelLanes& at, int64_t g, std::byte* to) {
  constexpr int kBits = code_bits(D);
  GroupLine line = group_line<D>(at, g, 0);
  if constexpr (kBits == 4) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      round_nibbles(line, Avx512Vector::load(at.panel + (g * 4 + v) * 64), to + v * 128);
    }
    return;
  }
  __m512i codes[8];
  unpack_codes<Avx512Vector, kBits>(at, g, codes);
#pragma GCC unroll 8
  for (int s = 0; s < 8; ++s) {
    if (D == DType::kQ6_K && s == 4) line = group_line<D>(at, g, 1);
    round_step<kBits>(line, codes[s], to + s * 128);
  }
}

}  // namespace
}  // namespace lmdeploy::cpu
