// What the tests of the CPU's and the GPU's sampling share.
#pragma once

#include <cmath>
#include <vector>

#include "kernels/sampling.h"
#include "tests/kernels/op_test_support.h"

namespace lmdeploy::test {

inline std::vector<float> log_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

inline std::vector<float> normal_logits(int64_t vocab, uint64_t key, double stddev) {
  std::vector<float> logits(static_cast<size_t>(vocab));
  fill_normal(logits.data(), vocab, key, stddev);
  return logits;
}

// The filters alone and in pairs.
inline std::vector<SamplingRow> filter_grid() {
  std::vector<SamplingRow> rows;
  const SamplingRow filters[] = {{.temperature = 0.6f}, {.temperature = 1.7f}, {.top_k = 7},
                                 {.top_k = 60},         {.top_p = 0.3f},       {.top_p = 0.92f},
                                 {.min_p = 0.05f}};
  rows.push_back({});
  for (const SamplingRow& a : filters) {
    for (const SamplingRow& b : filters) {
      if (&b < &a) continue;
      SamplingRow row = a;
      if (b.temperature != 1) row.temperature = b.temperature;
      if (b.top_k != 0) row.top_k = b.top_k;
      if (b.top_p != 1) row.top_p = b.top_p;
      if (b.min_p != 0) row.min_p = b.min_p;
      rows.push_back(row);
    }
  }
  return rows;
}

// Pearson's statistic in standard deviations; bins expecting fewer than 10 are put together.
inline double chi_square_excess(const std::vector<int>& seen,
                                const std::vector<double>& probability, int draws) {
  double statistic = 0, rest_seen = 0, rest_expected = 0;
  int bins = 0;
  const auto add = [&](double got, double expected) {
    statistic += (got - expected) * (got - expected) / expected;
    ++bins;
  };
  for (size_t i = 0; i < seen.size(); ++i) {
    const double expected = probability[i] * draws;
    if (expected >= 10) {
      add(seen[i], expected);
    } else {
      rest_seen += seen[i];
      rest_expected += expected;
    }
  }
  if (rest_expected > 0.5) add(rest_seen, rest_expected);
  if (bins < 2) return 0;
  return (statistic - (bins - 1)) / std::sqrt(2.0 * (bins - 1));
}

}  // namespace lmdeploy::test
