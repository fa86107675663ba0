#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sampling_select.cuh"

namespace lmdeploy::cuda {

namespace {

// What the filters leave: ranks of at least `low` whose weight is at least `min_weight`.
struct Kept {
  uint64_t low;
  float min_weight;
};

class RowChooser {
 public:
  __device__ RowChooser(RowSelect::Shared& shared, const SamplingChooseLaunch& choose, int row)
      : row_(choose.rows[row]),
        vocab_(choose.logits.vocab),
        block_sum_(choose.sum + int64_t{row} * kMaxTokenBlocks),
        scale_(1.0f / row_.temperature),
        select_(shared, choose.logits, row, mask_of(row_, choose.words), scale_) {}

  // The token, -1 where none is possible.
  __device__ int choose(const float* block_max) {
    if (!select_.load(block_max)) return -1;
    if ((row_.flags & DeviceSamplingRow::kGreedy) != 0) return select_.first_of_top();
    return draw({filter(), fminf(row_.min_p, 1.0f)});
  }

 private:
  __device__ uint64_t filter() {
    const bool top_p = row_.top_p < 1;
    const double share = double{row_.top_p} * (1 - kTopPSlack);
    if (has_top_k(row_, vocab_)) {
      const uint64_t cut = select_.cut_by_count(row_.top_k);
      if (!top_p) return cut;
      if (select_.list_is_whole()) {
        return select_.cut_list_by_mass(0, share * select_.list_total());
      }
      return select_.cut_by_mass(cut, share * select_.row_total(cut));
    }
    if (top_p) {
      const double total = select_.total(block_sum_);
      // Tokens below this weight hold less than 1 - top_p together.
      const double least = (1.0 - row_.top_p) * total / vocab_ * 0.999;
      return select_.cut_by_mass(low_for_weight(least), share * total);
    }
    return row_.min_p > 0 ? low_for_weight(row_.min_p) : first_rank(kLowestBits);
  }

  // A rank that every token of at least this weight reaches.
  __device__ uint64_t low_for_weight(double weight) const {
    const float logit =
        static_cast<float>(double{select_.top()} + log(fmin(weight, 1.0)) * row_.temperature);
    const uint32_t bits = ordered_bits(logit);
    constexpr uint32_t kSlack = 8;  // for the roundings of the logit
    return first_rank(bits > kLowestBits + kSlack ? bits - kSlack : kLowestBits);
  }

  __device__ double kept_weight(uint64_t rank, const Kept& kept) const {
    if (rank < kept.low) return 0;
    const float weight = select_.weight(rank_logit(rank));
    return weight >= kept.min_weight ? double{weight} : 0.0;
  }

  // The token at which the running sum, by id, passes uniform * sum. Each warp has consecutive
  // blocks of tokens: first the warp is found, then the block, then the token.
  __device__ int draw(const Kept& kept) {
    __shared__ double warp_sums[kRowWarps];
    __shared__ int drawn;
    const int hot = select_.find_hot(kept.low);
    const int begin = hot * warp_index() / kRowWarps, end = hot * (warp_index() + 1) / kRowWarps;
    double sum = 0;
    for (int h = begin; h < end; ++h) {
      select_.each_token(h, [&](int, uint64_t rank) { sum += kept_weight(rank, kept); });
    }
    sum = warp_reduce<Plus>(sum);
    if (lane_index() == 0) warp_sums[warp_index()] = sum;
    __syncthreads();
    double total = 0;
    for (int w = 0; w < kRowWarps; ++w) total += warp_sums[w];
    double target = draw_uniform(row_) * total;
    int warp = 0;
    for (int w = 0; w < kRowWarps; ++w) {
      if (warp_sums[w] <= 0) continue;
      warp = w;  // the last with any weight where rounding keeps the sum from passing
      if (warp_sums[w] > target) break;
      target -= warp_sums[w];
    }
    if (warp_index() == warp) {
      const int token = draw_in(begin, end, target, kept);
      if (lane_index() == 0) drawn = token;
    }
    __syncthreads();
    return drawn;
  }

  // Among hot blocks [begin, end), by one warp.
  __device__ int draw_in(int begin, int end, double target, const Kept& kept) const {
    int block = begin;
    double before = 0, running = 0;
    for (int h = begin; h < end; ++h) {
      double sum = 0;
      select_.each_token(h, [&](int, uint64_t rank) { sum += kept_weight(rank, kept); });
      sum = warp_reduce<Plus>(sum);
      if (sum <= 0) continue;
      block = h;
      before = running;
      running += sum;
      if (running > target) break;
    }
    int token = -1;
    bool passed = false;
    running = before;
    select_.each_token(block, [&](int id, uint64_t rank) {
      if (passed) return;
      const double weight = kept_weight(rank, kept);
      const double inclusive = running + warp_inclusive_sum(weight);
      const uint32_t possible = __ballot_sync(kAllLanes, weight > 0);
      const uint32_t passing = __ballot_sync(kAllLanes, weight > 0 && inclusive > target);
      passed = passing != 0;
      if (passed || possible != 0) {
        const int lane =
            passed ? __ffs(static_cast<int>(passing)) - 1 : 31 - __clz(static_cast<int>(possible));
        token = __shfl_sync(kAllLanes, id, lane);
      }
      running = __shfl_sync(kAllLanes, inclusive, 31);
    });
    return token;
  }

  const DeviceSamplingRow& row_;
  const int vocab_;
  const float* block_sum_;
  const float scale_;
  RowSelect select_;
};

__device__ void count_token(const SamplingChooseLaunch& choose, const DeviceSamplingRow& row,
                            int token) {
  uint16_t& count = choose.counts[row.slot * choose.counts_stride + token];
  if ((count & 0x7FFF) < 0x7FFF) ++count;
}

// What the slot remembers and the host downloads, by one thread.
__device__ void keep(const SamplingChooseLaunch& choose, int r, int token) {
  const DeviceSamplingRow& row = choose.rows[r];
  SampledToken& out = choose.out[r];
  out.token = token;
  if (choose.log_softmax == nullptr) out.top_count = 0;
  out.logprob = 0;
  if (token >= 0 && row.logprobs >= 0 && choose.log_softmax != nullptr) {
    const bool changed = choose.raw != nullptr && edits_logits(row);
    const float x = changed ? choose.raw[int64_t{r} * choose.logits.vocab + token]
                            : choose.logits.logits[r * choose.logits.stride + token];
    out.logprob = logprob_of(choose.log_softmax[r], x);
  }
  if (row.slot < 0) return;
  choose.last_token[row.slot] = token;
  if (token >= 0 && (row.flags & DeviceSamplingRow::kPenalties) != 0) {
    count_token(choose, row, token);
  }
}

__global__ void __launch_bounds__(kRowThreads, 2)
    sampling_choose_kernel(const __grid_constant__ SamplingChooseLaunch choose) {
  __shared__ RowSelect::Shared shared;
  wait_for_previous();
  allow_next();
  const int row = static_cast<int>(blockIdx.x);
  if ((choose.rows[row].flags & DeviceSamplingRow::kActive) == 0) {
    if (threadIdx.x == 0) {
      choose.out[row].token = -1;
      choose.out[row].logprob = 0;
      choose.out[row].top_count = 0;
    }
    return;
  }
  RowChooser chooser(shared, choose, row);
  const int token = chooser.choose(choose.block_max + int64_t{row} * kMaxTokenBlocks);
  if (threadIdx.x == 0) keep(choose, row, token);
}

}  // namespace

cudaError_t launch_sampling_choose(const SamplingChooseLaunch& choose, cudaStream_t stream) {
  return launch(sampling_choose_kernel, dim3(static_cast<unsigned>(choose.logits.rows)),
                dim3(kRowThreads), 0, stream, true, choose);
}

}  // namespace lmdeploy::cuda
