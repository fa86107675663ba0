// The bf16 tiles of AMX attention and how vectors become their rows.
//
//   left tile   [16 rows][32 elements]       a row's elements beside each other
//   right tile  [16 pairs][16 columns][2]    pairs of elements of k beside each other
//
// Both are 1 KiB; here as 16 vectors of 32 bf16.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/vec_avx512.h"

namespace lmdeploy::cpu {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileSteps = 32;  // elements of k in a tile

struct alignas(64) Bf16Tile {
  uint16_t value[kTileRows][kTileSteps];
};

// 32 floats as bf16 in order, rounded to nearest even.
inline __m512i round_pair(__m512 low, __m512 high) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}

// The first `count` of 32 bf16, the others 0.
inline __m512i load_bf16(const uint16_t* from, int count) {
  const __mmask32 mask = count >= 32 ? 0xFFFFFFFFu : (1u << count) - 1u;
  return _mm512_maskz_loadu_epi16(mask, from);
}

// 16 x 16 words: in[i] is row i.
inline void transpose_words(__m512i (&in)[16]) {
  avx512::F32Vec rows[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) rows[i] = {_mm512_castsi512_ps(in[i])};
  avx512::transpose(rows);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) in[i] = _mm512_castps_si512(rows[i].v);
}

}  // namespace
}  // namespace lmdeploy::cpu
