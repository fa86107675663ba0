#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/cpu/sampling.h"

namespace lmdeploy::cpu {

namespace {

void apply_mask(float* logits, int64_t vocab, std::span<const uint32_t> mask) {
  if (mask.empty()) return;
  for (int64_t i = 0; i < vocab; ++i) {
    if ((mask[static_cast<size_t>(i / 32)] >> (i % 32) & 1) == 0) logits[i] = -INFINITY;
  }
}

// NaN becomes -inf; where +inf occurs, +inf becomes 0 and everything else -inf.
void remove_nan_and_infinity(float* logits, int64_t vocab) {
  const bool infinite = std::any_of(logits, logits + vocab, [](float x) { return x == INFINITY; });
  for (int64_t i = 0; i < vocab; ++i) {
    if (infinite) {
      logits[i] = logits[i] == INFINITY ? 0.0f : -INFINITY;
    } else if (std::isnan(logits[i])) {
      logits[i] = -INFINITY;
    }
  }
}

// Token ids, most likely first.
void sort_by_logit(const float* logits, int64_t vocab, int32_t* order) {
  std::iota(order, order + vocab, 0);
  std::sort(order, order + vocab, [&](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
}

// How many tokens of the order survive top-k, top-p and min-p. `probability` is unnormalized.
int64_t kept_tokens(const double* probability, const int32_t* order, int64_t vocab,
                    const SamplingRow& row) {
  int64_t kept = vocab;
  if (row.top_k > 0) kept = std::min<int64_t>(kept, row.top_k);
  if (row.top_p < 1) {
    double total = 0;
    for (int64_t i = 0; i < kept; ++i) total += probability[order[i]];
    const double wanted = row.top_p * total * (1 - kTopPSlack);
    double sum = probability[order[0]];
    int64_t count = 1;
    while (count < kept && sum < wanted) sum += probability[order[count++]];
    kept = count;
  }
  while (kept > 1 && probability[order[kept - 1]] < row.min_p * probability[order[0]]) --kept;
  return kept;
}

int32_t draw(const double* probability, int64_t vocab, double uniform) {
  double sum = 0;
  int32_t last = -1;
  for (int64_t i = 0; i < vocab; ++i) {
    if (probability[i] <= 0) continue;
    last = static_cast<int32_t>(i);
    sum += probability[i];
    if (sum > uniform) return last;
  }
  return last;
}

void report_top(const float* logits, int64_t vocab, int32_t count, int32_t* order,
                SampledToken& out) {
  sort_by_logit(logits, vocab, order);
  out.top_count = static_cast<int32_t>(std::min<int64_t>({count, 20, vocab}));
  for (int32_t i = 0; i < out.top_count; ++i) {
    out.top[i] = {order[i], static_cast<float>(plain_logprob(logits, vocab, order[i]))};
  }
  while (out.top_count > 0 && out.top[out.top_count - 1].logprob == -INFINITY) --out.top_count;
}

void sample_row(float* logits, float* raw, int64_t vocab, const SamplingRow& row,
                PlainScratch scratch, SampledToken& out) {
  out = {};
  if (row.logprobs >= 0) {
    std::copy(logits, logits + vocab, raw);
    remove_nan_and_infinity(raw, vocab);
    report_top(raw, vocab, row.logprobs, scratch.order, out);
  }
  if (!plain_distribution(logits, vocab, row, scratch)) return;
  out.token = draw(scratch.probability, vocab, draw_uniform(row));
  if (row.logprobs >= 0) out.logprob = static_cast<float>(plain_logprob(raw, vocab, out.token));
}

}  // namespace

double plain_logprob(const float* logits, int64_t vocab, int32_t token) {
  if (!(logits[token] > -INFINITY)) return -INFINITY;
  double max = -INFINITY;
  for (int64_t i = 0; i < vocab; ++i) max = std::fmax(max, logits[i]);
  if (max == INFINITY) {
    const auto infinite = std::count(logits, logits + vocab, INFINITY);
    return logits[token] == INFINITY ? -std::log(static_cast<double>(infinite)) : -INFINITY;
  }
  double sum = 0;
  for (int64_t i = 0; i < vocab; ++i) sum += std::isnan(logits[i]) ? 0 : std::exp(logits[i] - max);
  return logits[token] - max - std::log(sum);
}

bool plain_distribution(float* logits, int64_t vocab, const SamplingRow& row,
                        PlainScratch scratch) {
  apply_mask(logits, vocab, row.allowed_mask);
  edit_listed_tokens(logits, vocab, row);
  remove_nan_and_infinity(logits, vocab);
  sort_by_logit(logits, vocab, scratch.order);
  const double max = logits[scratch.order[0]];
  if (max == -INFINITY) return false;
  double* probability = scratch.probability;
  if (is_greedy(row)) {
    std::fill(probability, probability + vocab, 0.0);
    probability[scratch.order[0]] = 1;
    return true;
  }
  for (int64_t i = 0; i < vocab; ++i)
    probability[i] = std::exp((logits[i] - max) / row.temperature);
  const int64_t kept = kept_tokens(probability, scratch.order, vocab, row);
  for (int64_t i = kept; i < vocab; ++i) probability[scratch.order[i]] = 0;
  double total = 0;
  for (int64_t i = 0; i < vocab; ++i) total += probability[i];
  for (int64_t i = 0; i < vocab; ++i) probability[i] /= total;
  return true;
}

void sample_plain(CpuStream& stream, Arena& scratch, const TensorView& logits,
                  std::span<const SamplingRow> rows, std::span<SampledToken> out) {
  ArenaScope scope(scratch);
  const int64_t vocab = logits.dim(1), workers = stream.pool().size();
  double* probability = scratch.allocate<double>(workers * vocab);
  int32_t* order = scratch.allocate<int32_t>(workers * vocab);
  float* raw = scratch.allocate<float>(workers * vocab);
  stream.pool().run([&](int worker) {
    const PlainScratch own{probability + worker * vocab, order + worker * vocab};
    for (size_t r = static_cast<size_t>(worker); r < rows.size();
         r += static_cast<size_t>(workers)) {
      sample_row(logits.row<float>(static_cast<int64_t>(r)), raw + worker * vocab, vocab, rows[r],
                 own, out[r]);
    }
  });
}

}  // namespace lmdeploy::cpu
