// The softmax of attention within one split, written over V = F32Vec of AVX2 or AVX-512.
//   max   of the visible scores; -inf where there is none
//   e     e^(score - max); 0 outside the visible range
#pragma once

#include <cstdint>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/vec_math.h"

namespace lmdeploy::cpu {
namespace {

constexpr int kStepTokens = 32;  // steps never cross a page

// Tokens of one split, in whole steps: [begin, end) are read, relative to `start`.
struct SplitTokens {
  int start, begin, end;
  int first_step() const { return begin / kStepTokens; }
  int last_step() const { return (end - 1) / kStepTokens; }
  int first_token() const { return first_step() * kStepTokens; }
  int end_token() const { return (last_step() + 1) * kStepTokens; }
};

template <class V>
V lowest_scores() {
  return V::all(-__builtin_inff());
}

constexpr float kLog2E = 1.44269504f;

// What becomes of p = 2^x: the rounding that follows hides the error.
enum class Weights { kBf16, kF32 };

// 2^x for x <= 0, within 4e-6 of it (kBf16) or 2e-7 (kF32); 0 below 2^-126, NaN of NaN.
// x = n + f is split by rounding; 2^f - 1 is a polynomial (least squares of the relative error on
// Chebyshev nodes) and n is added to the exponent's bits.
template <class V, Weights kWeights>
inline V exp2_below(V x) {
  const V round = V::all(12582912.0f);  // 1.5 * 2^23: integers end in the lowest bit
  const V shifted = x + round;
  const V f = x - (shifted - round);
  V p;
  if constexpr (kWeights == Weights::kBf16) {
    p = V::all(0.00960039534f);
    p = fma(p, f, V::all(0.0559168942f));
    p = fma(p, f, V::all(0.240237191f));
    p = fma(p, f, V::all(0.69312197f));
  } else {
    p = V::all(0.00132186722f);
    p = fma(p, f, V::all(0.00967169832f));
    p = fma(p, f, V::all(0.0555089302f));
    p = fma(p, f, V::all(0.24022238f));
    p = fma(p, f, V::all(0.693146884f));
  }
  p = fma(p, f, V::all(1.0f));
  return p.times_power(shifted, x, V::all(-126.0f));
}

template <class V>
inline V soft_capped(V s, float softcap) {
  const V cap = V::all(softcap);
  return cap * tanh(s / cap);
}

// What one row sees.
struct RowView {
  int position, first;
  float slope;
};

inline RowView row_view(const AttentionArgs& args, const AttentionBlock& block, int row) {
  const int group = args.heads / args.kv_heads;
  const int position = first_position(args, block) + row / group;
  return {
      position, first_visible(args, position),
      args.alibi_slopes != nullptr ? args.alibi_slopes[block.kv_head * group + row % group] : 0.0f};
}

// Applies softcap, ALiBi and the mask to a row's scores of the steps of `tokens`; returns their
// maximum.
template <class V>
inline float shape_row(const AttentionArgs& args, const RowView& row, SplitTokens tokens,
                       float* scores) {
  const bool plain = args.softcap <= 0 && args.alibi_slopes == nullptr;
  V top = lowest_scores<V>();
  for (int t = tokens.first_token(); t < tokens.end_token(); t += V::kLanes) {
    const int token = tokens.start + t;
    V s = V::load(scores + t);
    if (!plain || token < row.first || token + V::kLanes > row.position + 1) {
      if (args.softcap > 0) s = soft_capped(s, args.softcap);
      if (args.alibi_slopes != nullptr) {
        const V distance = V::lane_numbers() + V::all(static_cast<float>(token - row.position));
        s = fma(V::all(row.slope), distance, s);
      }
      s = s.keep_lanes(row.first - token, row.position + 1 - token, lowest_scores<V>());
      s.store(scores + t);
    }
    top = V::max(top, s);
  }
  return top.max();
}

// The tokens of a split that some row of the block sees.
inline SplitTokens split_tokens(const AttentionArgs& args, const AttentionBlock& block, int split) {
  const int start = split * kSplitTokens;
  const int visible = first_visible(args, first_position(args, block)) - start;
  const int context = last_position(args, block) + 1 - start;
  return {start, visible > 0 ? visible : 0, context < kSplitTokens ? context : kSplitTokens};
}

}  // namespace
}  // namespace lmdeploy::cpu
