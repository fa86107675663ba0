// Block-quantized weights as bf16, for tile products whose sums need no scale: a group's elements
// become scale * (code - zero) + min in fp32, rounded to bf16 (nearest; ties away from zero).
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

// The factor, and the offsets of codes at bit 8, 12 and 16.
struct GroupLine {
  __m512 scale;
  __m512 offset[3];
};

template <DType D>
GroupLine group_line(const PanelLanes& at, int64_t g, int half) {
  constexpr auto kZero = static_cast<float>(zero_code(D));
  const __m512 scale = group_scale<Avx512Vector, D>(at, g, half);
  __m512 min = _mm512_setzero_ps();
  if constexpr (has_min(D)) min = group_min<Avx512Vector, D>(at, g);
  const auto offset = [&](float power) {
    return _mm512_fnmadd_ps(scale, _mm512_set1_ps(power + kZero), min);
  };
  return {scale, {offset(1 << 15), offset(1 << 11), offset(1 << 7)}};
}

// scale * (code - zero) + min plus half a unit of bf16, for the code of kBits at bit kAt of `codes`.
template <int kBits, int kAt>
[[gnu::always_inline]] inline __m512i element(const GroupLine& line, __m512i codes) {
  static_assert((kAt == 8 || kAt == 12 || kAt == 16) && kAt + kBits <= 23);
  const __m512i mask = _mm512_set1_epi32(((1 << kBits) - 1) << kAt);
  const __m512i power = _mm512_set1_epi32((127 + 23 - kAt) << 23);
  const __m512i biased = _mm512_ternarylogic_epi32(codes, mask, power, 0xEA);
  const __m512 value =
      _mm512_fmadd_ps(_mm512_castsi512_ps(biased), line.scale, line.offset[kAt / 4 - 2]);
  return _mm512_add_epi32(_mm512_castps_si512(value), _mm512_set1_epi32(0x8000));
}

// The upper halves of two vectors of floats as pairs.
[[gnu::always_inline]] inline __m512i bf16_pairs(__m512i even, __m512i odd) {
  return _mm512_ternarylogic_epi32(odd, _mm512_srli_epi32(even, 16),
                                   _mm512_set1_epi32(static_cast<int>(0xFFFF0000u)), 0xEC);
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
