// moe_route: which experts each token goes to, and with what weights (models.md 1.7).
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy {

enum class MoeScores : uint8_t { kSoftmax, kSigmoid };  // of a token's router logits
enum class MoeGroupScore : uint8_t {
  kLargest,     // of the group's choice scores
  kTwoLargest,  // their sum
};

inline constexpr int kMaxExperts = 1024;
inline constexpr int kMaxExpertsPerToken = 32;

// The rule of a model. Softmax over the chosen logits alone is kSoftmax with `renormalize`.
struct MoeRouting {
  int top_k = 1;  // experts of a token, at most kMaxExpertsPerToken
  MoeScores scores = MoeScores::kSoftmax;
  bool renormalize = false;  // the chosen weights are divided by their sum
  float scale = 1.0f;        // multiplies the weights, last
  // Experts lie in `groups` consecutive groups of one size; those outside of the `kept_groups` best
  // groups are not chosen. The kept groups hold at least top_k experts.
  int groups = 1, kept_groups = 1;
  MoeGroupScore group_score = MoeGroupScore::kLargest;
};

// logits f32 [T, E], E <= kMaxExperts; correction f32 [E] or empty. An expert's choice score is its
// score plus its correction; the top_k highest are chosen, of equal ones the lower index, and
//   weights[t][j] = scale * score[ids[t][j]] ( / the sum of the chosen scores)
// without the correction. ids i32 [T, top_k] and weights f32 [T, top_k], the best choice first. A row
// depends on no other.
void moe_route(Ctx& ctx, const TensorView& logits, const TensorView& correction,
               const MoeRouting& routing, const TensorView& ids, const TensorView& weights);

}  // namespace lmdeploy
