// The softmax of AMX attention within one split (attention_softmax.h): from scores [token][row] to p as
// left tiles, in two ways that give a row the same bits: 16 rows a vector, and (turned) one row's 16
// tokens a vector.
//   sum   16 tokens are added in pairs, pairs of pairs, ...; those sums in order of the tokens
//   p     e rounded to bf16, halves up
#pragma once

#include "kernels/cpu/attention_amx_tiles.h"
#include "kernels/cpu/attention_body.h"

namespace lmdeploy::cpu {
namespace {

static_assert(kTileSteps == kStepTokens);
constexpr int kPairRows = 2 * kTileRows;  // rows that are multiplied together
constexpr int kFewRows = 8;               // up to here scores are turned

// attention_softmax.h with 16 lanes, for weights that become bf16.
inline __m512 lowest_scores() { return lowest_scores<avx512::F32Vec>().v; }
inline __m512 soft_capped(__m512 s, float softcap) { return soft_capped(avx512::F32Vec{s}, softcap).v; }
inline float shape_row(const AttentionArgs& args, const RowView& row, SplitTokens tokens, float* scores) {
  return shape_row<avx512::F32Vec>(args, row, tokens, scores);
}

// What exp_below adds: -top in powers of 2, 0 where nothing is seen.
inline __m512 exponent_of(__m512 top) {
  const __mmask16 seen = _mm512_cmp_ps_mask(top, lowest_scores(), _CMP_NEQ_UQ);
  return _mm512_maskz_mul_ps(seen, top, _mm512_set1_ps(-kLog2E));
}

// e^(s - top) for exponent = exponent_of(top) and s <= top. The rounding of `exponent` is a factor
// of all of a split's: 1e-5 for scores near 300, far below the rounding to bf16.
inline __m512 exp_below(__m512 s, __m512 exponent) {
  const __m512 x = _mm512_fmadd_ps(s, _mm512_set1_ps(kLog2E), exponent);
  return exp2_below<avx512::F32Vec, Weights::kBf16>({x}).v;
}

// To bf16 in the upper halves of the words, for finite x >= 0.
inline __m512i round_words(__m512 x) {
  return _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
}

// ---- 16 rows a vector ----

// What each of the rows sees. An absent row stands for the last one.
struct RowLanes {
  __m512i position;
  __m512i first;
  __m512 slope;
  int least_position, most_first;  // tokens between are seen by all
};

inline RowLanes row_lanes(const AttentionArgs& args, const AttentionBlock& block, int row) {
  const int group = args.heads / args.kv_heads, last = block.tokens * group - 1;
  alignas(64) int32_t position[16], first[16];
  alignas(64) float slope[16];
  for (int lane = 0; lane < 16; ++lane) {
    const int at = row + lane < last ? row + lane : last;
    position[lane] = first_position(args, block) + at / group;
    first[lane] = first_visible(args, position[lane]);
    slope[lane] =
        args.alibi_slopes != nullptr ? args.alibi_slopes[block.kv_head * group + at % group] : 0.0f;
  }
  return {_mm512_load_si512(position), _mm512_load_si512(first), _mm512_load_ps(slope), position[0],
          first[15]};
}

// Applies softcap, ALiBi and the mask to the scores of 16 rows (stride kPairRows) and one step of
// tokens, which begins at `token`; returns the maximum of them and `top`.
inline __m512 shape_scores(const AttentionArgs& args, const RowLanes& lanes, int token,
                           float* scores, __m512 top) {
  const bool plain = args.softcap <= 0 && args.alibi_slopes == nullptr;
  for (const int end = token + kTileSteps; token < end; ++token, scores += kPairRows) {
    __m512 s = _mm512_load_ps(scores);
    const bool seen_by_all = token <= lanes.least_position && token >= lanes.most_first;
    if (!plain || !seen_by_all) {
      if (args.softcap > 0) s = soft_capped(s, args.softcap);
      const __m512i at = _mm512_set1_epi32(token);
      if (args.alibi_slopes != nullptr) {
        const __m512 distance = _mm512_cvtepi32_ps(_mm512_sub_epi32(at, lanes.position));
        s = _mm512_fmadd_ps(lanes.slope, distance, s);
      }
      const __mmask16 seen =
          _mm512_cmple_epi32_mask(at, lanes.position) & _mm512_cmple_epi32_mask(lanes.first, at);
      s = _mm512_mask_blend_ps(seen, lowest_scores(), s);
      _mm512_store_ps(scores, s);
    }
    top = _mm512_max_ps(top, s);
  }
  return top;
}

// Turns 16 rows' scores of a step (stride kPairRows) into p; returns `sum` plus the exponentials.
[[gnu::always_inline]] inline __m512 exponential_step(const float* at, __m512 exponent, __m512 sum,
                                                      Bf16Tile& p) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u));
  __m512i words[16];
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    __m512 eight[2];
#pragma GCC unroll 2
    for (int part = 0; part < 2; ++part) {
      __m512 pair[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i, at += 2 * kPairRows) {
        const __m512 even = exp_below(_mm512_load_ps(at), exponent);
        const __m512 odd = exp_below(_mm512_load_ps(at + kPairRows), exponent);
        pair[i] = _mm512_add_ps(even, odd);
        words[half * 8 + part * 4 + i] =  // (odd & upper) | even >> 16
            _mm512_ternarylogic_epi32(round_words(odd), upper, _mm512_srli_epi32(round_words(even), 16),
                                      0xEA);
      }
      eight[part] = _mm512_add_ps(_mm512_add_ps(pair[0], pair[1]), _mm512_add_ps(pair[2], pair[3]));
    }
    sum = _mm512_add_ps(sum, _mm512_add_ps(eight[0], eight[1]));
  }
  transpose_words(words);
#pragma GCC unroll 16
  for (int r = 0; r < kTileRows; ++r) _mm512_store_si512(p.value[r], words[r]);
  return sum;
}

// ---- one row's 16 tokens a vector ----

// scores [token][kTileRows] of up to kFewRows rows -> turned [row][kSplitTokens].
inline void turn_scores(const float* scores, int rows, SplitTokens tokens, float* turned) {
  for (int t = tokens.first_token(); t < tokens.end_token(); t += 16) {
    for (int row = 0; row < rows; row += 4) {
      __m512 z[4];  // lane group l of z[j]: rows row ... row + 3 of token 4 l + j
      for (int j = 0; j < 4; ++j) {
        const float* at = scores + (t + j) * kTileRows + row;
        z[j] = _mm512_castps128_ps512(_mm_load_ps(at));
        z[j] = _mm512_insertf32x4(z[j], _mm_load_ps(at + 4 * kTileRows), 1);
        z[j] = _mm512_insertf32x4(z[j], _mm_load_ps(at + 8 * kTileRows), 2);
        z[j] = _mm512_insertf32x4(z[j], _mm_load_ps(at + 12 * kTileRows), 3);
      }
      const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(z[0], z[1]));
      const __m512d b = _mm512_castps_pd(_mm512_unpacklo_ps(z[2], z[3]));
      const __m512d c = _mm512_castps_pd(_mm512_unpackhi_ps(z[0], z[1]));
      const __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(z[2], z[3]));
      float* to = turned + row * kSplitTokens + t;
      _mm512_store_ps(to, _mm512_castpd_ps(_mm512_unpacklo_pd(a, b)));
      _mm512_store_ps(to + kSplitTokens, _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
      _mm512_store_ps(to + 2 * kSplitTokens, _mm512_castpd_ps(_mm512_unpacklo_pd(c, d)));
      _mm512_store_ps(to + 3 * kSplitTokens, _mm512_castpd_ps(_mm512_unpackhi_pd(c, d)));
    }
  }
}

// In every lane the sum of all, added as `exponentials` does.
inline __m512 sum_of_16(__m512 e) {
  e = _mm512_add_ps(e, _mm512_permute_ps(e, 0xB1));
  e = _mm512_add_ps(e, _mm512_permute_ps(e, 0x4E));
  e = _mm512_add_ps(e, _mm512_shuffle_f32x4(e, e, 0xB1));
  return _mm512_add_ps(e, _mm512_shuffle_f32x4(e, e, 0x4E));
}

// exponentials of one row; its p go to row `row` of the tiles.
inline float row_exponentials(const float* scores, float top, SplitTokens tokens, Bf16Tile* p,
                              int row) {
  const __m512 exponent = exponent_of(_mm512_set1_ps(top));
  // Word 2 i + 1 of both operands: i is up to 31.
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i upper_halves =
      _mm512_add_epi32(_mm512_mullo_epi32(lanes, _mm512_set1_epi32(0x00040004)),
                       _mm512_set1_epi32(0x00030001));
  __m512 sum = _mm512_setzero_ps();
  for (int step = tokens.first_step(); step <= tokens.last_step(); ++step) {
    const float* at = scores + step * kTileSteps;
    const __m512 low = exp_below(_mm512_load_ps(at), exponent);
    const __m512 high = exp_below(_mm512_load_ps(at + 16), exponent);
    sum = _mm512_add_ps(_mm512_add_ps(sum, sum_of_16(low)), sum_of_16(high));
    _mm512_store_si512(p[step].value[row],
                       _mm512_permutex2var_epi16(round_words(low), upper_halves, round_words(high)));
  }
  return _mm512_cvtss_f32(sum);
}

}  // namespace
}  // namespace lmdeploy::cpu
