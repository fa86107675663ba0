#include "kernels/cpu/sampling.h"

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <cmath>
#include <functional>

#include "kernels/cpu/sampling_kernels.h"
#include "kernels/cpu/sampling_select.h"

namespace lmdeploy::cpu {

namespace {

// Tokens a block: some 500 to 1000 blocks a row, so that a threshold for the top-k comes from the
// maxima of the blocks alone.
int64_t block_size(int64_t vocab) { return 64 * ((vocab + 65535) / 65536); }

// One worker's scratch.
struct Workspace {
  float* block_max;    // [blocks]
  float* ordered_max;  // [blocks]
  double* block_sum;   // [blocks]
  int32_t* ids;        // [vocab]
  float* weights;      // [vocab]
  float* raw;          // [vocab]
};

Workspace make_workspace(Arena& arena, int64_t vocab) {
  const int64_t blocks = (vocab + block_size(vocab) - 1) / block_size(vocab);
  return {arena.allocate<float>(blocks),  arena.allocate<float>(blocks),
          arena.allocate<double>(blocks), arena.allocate<int32_t>(vocab),
          arena.allocate<float>(vocab),   arena.allocate<float>(vocab)};
}

// log softmax of a row. Where +inf occurs, the tokens that have it share all the probability.
struct LogSoftmax {
  float max;
  double log_sum;

  float at(float x) const {
    if (!(x > -INFINITY)) return -INFINITY;
    if (max == INFINITY) return x == INFINITY ? static_cast<float>(-log_sum) : -INFINITY;
    return static_cast<float>(double{x} - max - log_sum);
  }
};

LogSoftmax log_softmax(const SamplingKernels& kernels, const float* logits, int64_t vocab,
                       float max) {
  const double sum = max == INFINITY
                         ? static_cast<double>(std::count(logits, logits + vocab, INFINITY))
                         : kernels.sum_exp(logits, vocab, max);
  return {max, std::log(sum)};
}

class RowSampler {
 public:
  RowSampler(const SamplingKernels& kernels, const Workspace& work, float* logits, int64_t vocab,
             const SamplingRow& row)
      : kernels_(kernels),
        work_(work),
        values_(logits),
        vocab_(vocab),
        block_(block_size(vocab)),
        blocks_((vocab + block_ - 1) / block_),
        row_(row) {}

  void sample(SampledToken& out) {
    out = {};
    const LogSoftmax raw = row_.logprobs >= 0 ? report_raw(out) : LogSoftmax{};
    edit_listed_tokens(values_, vocab_, row_);
    max_ = scan(row_.allowed_mask.empty() ? nullptr : row_.allowed_mask.data());
    if (max_ == -INFINITY) return;
    if (max_ == INFINITY) keep_only_infinite();
    out.token = is_greedy(row_) ? first_maximum() : draw();
    if (row_.logprobs >= 0) out.logprob = raw.at(work_.raw[out.token]);
  }

 private:
  // Maximum of the row; block_max is filled.
  float scan(const uint32_t* mask) {
    kernels_.scan(values_, vocab_, block_, mask, work_.block_max);
    return *std::max_element(work_.block_max, work_.block_max + blocks_);
  }

  void keep_only_infinite() {
    for (int64_t i = 0; i < vocab_; ++i) values_[i] = values_[i] == INFINITY ? 0.0f : -INFINITY;
    max_ = scan(nullptr);
  }

  // Keeps a copy of the raw logits and lists the most likely tokens.
  LogSoftmax report_raw(SampledToken& out) {
    std::copy(values_, values_ + vocab_, work_.raw);
    const float max = scan(nullptr);
    if (max == -INFINITY) return {max, 0};
    const LogSoftmax raw = log_softmax(kernels_, values_, vocab_, max);
    if (row_.logprobs == 0) return raw;
    const std::span<int32_t> top = largest(row_.logprobs);
    std::sort(top.begin(), top.end(), [&](int32_t a, int32_t b) {
      return values_[a] != values_[b] ? values_[a] > values_[b] : a < b;
    });
    for (int32_t token : top) {
      const float logprob = raw.at(values_[token]);
      if (logprob > -INFINITY) out.top[out.top_count++] = {token, logprob};
    }
    return raw;
  }

  // Ids of the k largest values (ties: lower id), ascending; -inf is never one. block_max must be
  // that of the values: the k-th largest block maximum is at most the k-th largest value.
  std::span<int32_t> largest(int64_t k) {
    float threshold = -FLT_MAX;
    if (k <= blocks_) {
      std::copy(work_.block_max, work_.block_max + blocks_, work_.ordered_max);
      std::nth_element(work_.ordered_max, work_.ordered_max + (k - 1), work_.ordered_max + blocks_,
                       std::greater<float>());
      threshold = std::max(threshold, work_.ordered_max[k - 1]);
    }
    const int64_t found =
        kernels_.collect(values_, vocab_, block_, work_.block_max, threshold, work_.ids);
    const std::span<int32_t> ids(work_.ids, static_cast<size_t>(found));
    return ids.first(static_cast<size_t>(keep_largest(values_, ids, k)));
  }

  int32_t first_maximum() const {
    const int64_t block =
        std::find(work_.block_max, work_.block_max + blocks_, max_) - work_.block_max;
    const float* begin = values_ + block * block_;
    const float* end = values_ + std::min(vocab_, (block + 1) * block_);
    return static_cast<int32_t>(std::find(begin, end, max_) - values_);
  }

  int32_t draw() {
    const float inverse_temperature = 1.0f / row_.temperature;
    if (row_.top_k > 0 && row_.top_k < vocab_) return draw_top_k(inverse_temperature);
    kernels_.weigh(values_, vocab_, block_, max_, inverse_temperature, work_.block_max,
                   work_.block_sum);
    double total = 0;
    for (int64_t b = 0; b < blocks_; ++b) total += work_.block_sum[b];
    if (row_.top_p >= 1 && row_.min_p <= 0) return draw_any(total);
    // The tokens below this weight hold less than 1 - top_p together.
    double least = FLT_TRUE_MIN;
    if (row_.top_p < 1) {
      least = std::max(least, (1.0 - row_.top_p) * total / static_cast<double>(vocab_) * 0.999);
    } else {
      least = std::max(least, std::min<double>(row_.min_p, 1.0));
    }
    // A threshold of at most the largest weight, 1, so that something is found.
    const float threshold = std::min(1.0f, static_cast<float>(least));
    const int64_t found =
        kernels_.collect(values_, vocab_, block_, work_.block_max, threshold, work_.ids);
    for (int64_t i = 0; i < found; ++i) work_.weights[i] = values_[work_.ids[i]];
    return draw_candidates(found, total);
  }

  int32_t draw_top_k(float inverse_temperature) {
    const std::span<int32_t> ids = largest(row_.top_k);
    const int64_t count = static_cast<int64_t>(ids.size());
    for (int64_t i = 0; i < count; ++i) work_.weights[i] = values_[ids[static_cast<size_t>(i)]];
    float top;
    double total;
    kernels_.weigh(work_.weights, count, count, max_, inverse_temperature, &top, &total);
    return draw_candidates(count, total);
  }

  // From candidates work_.ids (ascending) with work_.weights: top-p of `total`, min-p, draw.
  int32_t draw_candidates(int64_t count, double total) {
    MassCut cut{0, 0};
    if (row_.top_p < 1) {
      cut = cut_by_mass({work_.weights, static_cast<size_t>(count)},
                        row_.top_p * total * (1 - kTopPSlack));
    }
    const float min_weight = std::min(row_.min_p, 1.0f);  // the largest weight is 1
    int64_t kept = 0, ties = 0;
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) {
      const float weight = work_.weights[i];
      if (weight < cut.weight || weight < min_weight || weight <= 0) continue;
      if (weight == cut.weight && ++ties > cut.ties) continue;
      work_.ids[kept] = work_.ids[i];
      work_.weights[kept++] = weight;
      sum += weight;
    }
    return work_.ids[walk(work_.weights, kept, draw_uniform(row_) * sum)];
  }

  // From the whole row: first the block, then the token in it.
  int32_t draw_any(double total) const {
    double target = draw_uniform(row_) * total;
    int64_t block = 0, last = 0;
    for (; block < blocks_; ++block) {
      if (work_.block_sum[block] <= 0) continue;
      last = block;
      if (work_.block_sum[block] > target) break;
      target -= work_.block_sum[block];
    }
    const int64_t begin = last * block_;
    return static_cast<int32_t>(begin +
                                walk(values_ + begin, std::min(block_, vocab_ - begin), target));
  }

  // Index at which the running sum passes `target`; the last positive weight when rounding keeps it
  // from passing.
  static int64_t walk(const float* weights, int64_t count, double target) {
    double sum = 0;
    int64_t last = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (weights[i] <= 0) continue;
      last = i;
      sum += weights[i];
      if (sum > target) break;
    }
    return last;
  }

  const SamplingKernels& kernels_;
  const Workspace& work_;
  float* values_;  // logits, then weights
  int64_t vocab_, block_, blocks_;
  const SamplingRow& row_;
  float max_ = 0;
};

// Calls fn(row, worker) for every row.
void for_rows(ThreadPool& pool, size_t rows, FunctionRef<void(size_t, int)> fn) {
  if (rows == 1) return fn(0, 0);
  std::atomic<size_t> next{0};
  pool.run([&](int worker) {
    for (size_t r; (r = next.fetch_add(1, std::memory_order_relaxed)) < rows;) fn(r, worker);
  });
}

SamplingKernels sampling_kernels(const CpuIsa& isa) {
  return isa.avx512 ? sampling_kernels_avx512() : sampling_kernels_avx2();
}

}  // namespace

void sample(CpuStream& stream, Arena& scratch, const TensorView& logits,
            std::span<const SamplingRow> rows, std::span<SampledToken> out) {
  if (!stream.isa().avx2) return sample_plain(stream, scratch, logits, rows, out);
  ArenaScope scope(scratch);
  const SamplingKernels kernels = sampling_kernels(stream.isa());
  const int workers = rows.size() == 1 ? 1 : stream.pool().size();
  Workspace* workspaces = scratch.allocate<Workspace>(workers);
  for (int w = 0; w < workers; ++w) workspaces[w] = make_workspace(scratch, logits.dim(1));
  for_rows(stream.pool(), rows.size(), [&](size_t r, int worker) {
    float* row_logits = logits.row<float>(static_cast<int64_t>(r));
    RowSampler(kernels, workspaces[worker], row_logits, logits.dim(1), rows[r]).sample(out[r]);
  });
}

void token_logprobs(CpuStream& stream, const TensorView& logits, std::span<const int32_t> targets,
                    std::span<float> out) {
  const int64_t vocab = logits.dim(1);
  const bool vectors = stream.isa().avx2;
  const SamplingKernels kernels = vectors ? sampling_kernels(stream.isa()) : SamplingKernels{};
  for_rows(stream.pool(), targets.size(), [&](size_t r, int) {
    const float* row = logits.row<float>(static_cast<int64_t>(r));
    if (!vectors) {
      out[r] = static_cast<float>(plain_logprob(row, vocab, targets[r]));
      return;
    }
    float max;
    kernels.scan(logits.row<float>(static_cast<int64_t>(r)), vocab, vocab, nullptr, &max);
    out[r] = log_softmax(kernels, row, vocab, max).at(row[targets[r]]);
  });
}

}  // namespace lmdeploy::cpu
