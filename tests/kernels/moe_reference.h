// Mixtures of experts by their formulas in fp64, for tests on every device.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/moe_mlp.h"
#include "kernels/moe_route.h"
#include "tests/kernels/op_test_support.h"

namespace lmdeploy::test {

struct RoutingCase {
  const char* name;
  int64_t experts;
  bool corrected;
  MoeRouting routing;
};

inline std::vector<RoutingCase> routing_cases() {
  constexpr MoeScores kSoftmax = MoeScores::kSoftmax, kSigmoid = MoeScores::kSigmoid;
  return {
      {"Mixtral", 8, false, {.top_k = 2, .renormalize = true}},
      {"Qwen2-MoE", 60, false, {.top_k = 4}},
      {"Qwen3-MoE", 128, false, {.top_k = 8, .renormalize = true}},
      {"DeepSeek-V2", 160, false, {.top_k = 6, .scale = 16.0f, .groups = 8, .kept_groups = 3}},
      {"DeepSeek-V3",
       256,
       true,
       {.top_k = 8,
        .scores = kSigmoid,
        .renormalize = true,
        .scale = 2.5f,
        .groups = 8,
        .kept_groups = 4,
        .group_score = MoeGroupScore::kTwoLargest}},
      {"one group, corrected", 37, true, {.top_k = 5, .scores = kSigmoid}},
      {"groups of one",
       12,
       false,
       {.top_k = 3,
        .scores = kSoftmax,
        .groups = 12,
        .kept_groups = 4,
        .group_score = MoeGroupScore::kTwoLargest}},
      {"one expert", 1, false, {.top_k = 1}},
      {"all experts", 33, false, {.top_k = 32}},
      {"the most experts", kMaxExperts, false, {.top_k = 8, .groups = 16, .kept_groups = 2}},
  };
}

struct Choice {
  int expert;
  double weight;
};

inline std::vector<double> scores_of(const float* logits, int64_t experts, MoeScores rule) {
  std::vector<double> scores;
  double sum = 0;
  for (int64_t e = 0; e < experts; ++e) {
    const double power = std::exp(double{logits[e]});
    scores.push_back(rule == MoeScores::kSigmoid ? power / (1 + power) : power);
    sum += power;
  }
  if (rule == MoeScores::kSoftmax) {
    for (double& score : scores) score /= sum;
  }
  return scores;
}

// Experts that groups leave to choose from.
inline std::vector<bool> candidates(const std::vector<double>& choice, const MoeRouting& routing) {
  const size_t size = choice.size() / static_cast<size_t>(routing.groups);
  std::vector<std::pair<double, size_t>> groups;
  for (size_t g = 0; g < static_cast<size_t>(routing.groups); ++g) {
    std::vector<double> members(choice.begin() + static_cast<long>(g * size),
                                choice.begin() + static_cast<long>((g + 1) * size));
    std::sort(members.rbegin(), members.rend());
    const bool two = routing.group_score == MoeGroupScore::kTwoLargest && size > 1;
    groups.emplace_back(-(two ? members[0] + members[1] : members[0]), g);
  }
  std::sort(groups.begin(), groups.end());
  std::vector<bool> allowed(choice.size(), false);
  for (size_t i = 0; i < static_cast<size_t>(routing.kept_groups); ++i) {
    std::fill_n(allowed.begin() + static_cast<long>(groups[i].second * size), size, true);
  }
  return allowed;
}

inline std::vector<Choice> routed(const float* logits, int64_t experts, const float* correction,
                                  const MoeRouting& routing) {
  const std::vector<double> scores = scores_of(logits, experts, routing.scores);
  std::vector<double> choice = scores;
  for (size_t e = 0; e < choice.size() && correction != nullptr; ++e) choice[e] += correction[e];
  const std::vector<bool> allowed = candidates(choice, routing);
  std::vector<std::pair<double, int>> order;
  for (size_t e = 0; e < choice.size(); ++e) {
    if (allowed[e]) order.emplace_back(-choice[e], static_cast<int>(e));
  }
  std::sort(order.begin(), order.end());
  std::vector<Choice> chosen;
  double sum = 0;
  for (int k = 0; k < routing.top_k; ++k) {
    const int expert = order[static_cast<size_t>(k)].second;
    chosen.push_back({expert, scores[static_cast<size_t>(expert)]});
    sum += chosen.back().weight;
  }
  for (Choice& c : chosen) c.weight *= routing.scale / (routing.renormalize ? sum : 1.0);
  return chosen;
}

}  // namespace lmdeploy::test
