// Between fp32, f16 and bf16 rows and the bf16 tiles of AMX attention. A number is held as a sum of
// kParts bf16: one for a bf16 cache, two for an f16 one, whose 11 bits fill them exactly.
//
//   left tile   [16 rows][32 elements]       a row's elements beside each other
//   right tile  [16 pairs][16 columns][2]    pairs of elements of k beside each other
//
// Both are 1 KiB; here as 16 vectors of 32 bf16.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/kv_type.h"
#include "kernels/cpu/vec_avx512.h"

namespace lmdeploy::cpu {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileSteps = 32;  // elements of k in a tile

struct alignas(64) Bf16Tile {
  uint16_t value[kTileRows][kTileSteps];
};

template <KvType kType>
constexpr int kParts = kType == KvType::kF16 ? 2 : 1;

inline __m512 float_of(__m512i bits) { return _mm512_castsi512_ps(bits); }
inline __m512i bits_of(__m512 x) { return _mm512_castps_si512(x); }

// 32 floats as bf16 in order, rounded to nearest even.
inline __m512i round_pair(__m512 low, __m512 high) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}
inline __m512 widen_low(__m512i bf16) {
  return float_of(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(bf16)), 16));
}
inline __m512 widen_high(__m512i bf16) {
  return float_of(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(bf16, 1)), 16));
}

// 32 floats as Parts vectors of bf16 whose sum they are, but for the last one's rounding.
template <int Parts>
inline void split_row(__m512 low, __m512 high, __m512i (&part)[Parts]) {
  part[0] = round_pair(low, high);
  if constexpr (Parts == 2) {
    part[1] = round_pair(_mm512_sub_ps(low, widen_low(part[0])),
                         _mm512_sub_ps(high, widen_high(part[0])));
  }
}

// Pairs (even, odd) of 16 columns as one row of a right tile; the floats' lower halves are dropped.
inline __m512i pair_columns(__m512 even, __m512 odd) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u));
  const __m512i low = _mm512_srli_epi32(bits_of(even), 16);
  return _mm512_ternarylogic_epi32(bits_of(odd), upper, low, 0xEA);  // (odd & upper) | low
}
inline __m512 upper_half(__m512 x) {
  return float_of(_mm512_and_si512(bits_of(x), _mm512_set1_epi32(static_cast<int>(0xFFFF0000u))));
}
// To the nearest bf16, halves away from zero, in the upper half. Not for infinities.
inline __m512 round_up_half(__m512 x) {
  return float_of(_mm512_add_epi32(bits_of(x), _mm512_set1_epi32(0x8000)));
}

// 16 x 16 words: in[i] is row i.
inline void transpose_words(__m512i (&in)[16]) {
  avx512::F32Vec rows[16];
  for (int i = 0; i < 16; ++i) rows[i] = {float_of(in[i])};
  avx512::transpose(rows);
  for (int i = 0; i < 16; ++i) in[i] = bits_of(rows[i].v);
}

}  // namespace
}  // namespace lmdeploy::cpu
