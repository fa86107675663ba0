#include "kernels/cpu/moe_route.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/cpu/row_grain.h"
#include "tensor/stream.h"

namespace lmdeploy::cpu {

namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr int64_t kExpElements = 16;  // an exponential costs about as much as so many elements

using Scores = std::array<float, kMaxExperts>;

void softmax(const float* logits, int experts, Scores& scores) {
  const float most = *std::max_element(logits, logits + experts);
  double sum = 0;
  for (int e = 0; e < experts; ++e) {
    scores[static_cast<size_t>(e)] = std::exp(logits[e] - most);
    sum += scores[static_cast<size_t>(e)];
  }
  const auto inverse = static_cast<float>(1.0 / sum);
  for (int e = 0; e < experts; ++e) scores[static_cast<size_t>(e)] *= inverse;
}

void sigmoid(const float* logits, int experts, Scores& scores) {
  for (int e = 0; e < experts; ++e) {
    scores[static_cast<size_t>(e)] = 1.0f / (1.0f + std::exp(-logits[e]));
  }
}

// The first index of the largest of values[0, count).
int best_of(const float* values, int count) {
  return static_cast<int>(std::max_element(values, values + count) - values);
}

float group_score(const float* choice, int size, MoeGroupScore rule) {
  float largest = kNever, second = kNever;
  for (int i = 0; i < size; ++i) {
    second = std::max(second, std::min(largest, choice[i]));
    largest = std::max(largest, choice[i]);
  }
  return rule == MoeGroupScore::kLargest || size < 2 ? largest : largest + second;
}

// Experts outside of the best groups get a choice score below every other.
void keep_best_groups(const MoeRouting& routing, int experts, Scores& choice) {
  const int size = experts / routing.groups;
  Scores scores, kept = choice;
  for (int g = 0; g < routing.groups; ++g) {
    scores[static_cast<size_t>(g)] = group_score(&choice[static_cast<size_t>(g * size)], size,
                                                 routing.group_score);
  }
  std::fill_n(choice.begin(), experts, kNever);
  for (int i = 0; i < routing.kept_groups; ++i) {
    const int g = best_of(scores.data(), routing.groups);
    scores[static_cast<size_t>(g)] = kNever;
    std::copy_n(kept.begin() + g * size, size, choice.begin() + g * size);
  }
}

void route(const MoeRouteArgs& args, int64_t token) {
  const MoeRouting& routing = args.routing;
  const float* logits = args.logits + token * args.logits_stride;
  int32_t* ids = args.ids + token * args.ids_stride;
  float* weights = args.weights + token * args.weights_stride;
  Scores scores, choice;
  if (routing.scores == MoeScores::kSoftmax) {
    softmax(logits, args.experts, scores);
  } else {
    sigmoid(logits, args.experts, scores);
  }
  for (int e = 0; e < args.experts; ++e) {
    const auto i = static_cast<size_t>(e);
    choice[i] = args.correction == nullptr ? scores[i] : scores[i] + args.correction[e];
  }
  if (routing.kept_groups < routing.groups) keep_best_groups(routing, args.experts, choice);
  float sum = 0;
  for (int k = 0; k < routing.top_k; ++k) {
    const int best = best_of(choice.data(), args.experts);
    choice[static_cast<size_t>(best)] = kNever;
    ids[k] = best;
    weights[k] = scores[static_cast<size_t>(best)];
    sum += weights[k];
  }
  const float factor = routing.renormalize ? routing.scale / sum : routing.scale;
  for (int k = 0; k < routing.top_k; ++k) weights[k] *= factor;
}

}  // namespace

void moe_route(CpuStream& stream, const MoeRouteArgs& args) {
  stream.pool().parallel_for(args.tokens, row_grain(kExpElements * args.experts),
                             [&](int64_t begin, int64_t end) {
                               for (int64_t t = begin; t < end; ++t) route(args, t);
                             });
}

}  // namespace lmdeploy::cpu
