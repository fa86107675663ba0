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
      : choose_(choose),
        row_(choose.rows[row]),
        index_(row),
        select_(shared, choose.logits, row, mask_of(row_, choose.words), 1.0f / row_.temperature) {}

  // The token, -1 where none is possible.
  __device__ int choose() {
    // Before it is known whether the row is padding: it mostly is not.
    const bool possible = select_.load(choose_.block_max + int64_t{index_} * kMaxTokenBlocks);
    if (!possible || (row_.flags & DeviceSamplingRow::kActive) == 0) return -1;
    if ((row_.flags & DeviceSamplingRow::kGreedy) != 0) return select_.first_of_top();
    if (!has_top_k(row_, choose_.logits.vocab)) return draw_from_row(cut_of_all());
    const uint64_t cut = select_.cut_by_count(row_.top_k);
    return select_.list_is_short() ? draw_from_list() : draw_from_row(cut_further(cut));
  }

 private:
  // Where the filters cut, without top-k.
  __device__ uint64_t cut_of_all() {
    if (row_.top_p < 1) {
      return select_.cut_by_masses(choose_.masses + int64_t{index_} * kMassBins, share());
    }
    return row_.min_p > 0 ? low_for_weight(row_.min_p) : first_rank(kLowestBits);
  }

  // Where they cut among the tokens that top-k left.
  __device__ uint64_t cut_further(uint64_t cut) {
    if (!(row_.top_p < 1)) return cut;
    if (select_.list_is_whole()) {
      return select_.cut_list_by_mass(0, share() * select_.list_total());
    }
    return select_.cut_by_mass(select_.range_from(cut), share() * select_.row_total(cut));
  }

  __device__ double share() const { return double{row_.top_p} * (1 - kTopPSlack); }
  __device__ float min_weight() const { return fminf(row_.min_p, 1.0f); }

  // The draw among the tokens of a short list, a thread a token: each adds up the weights that it
  // needs itself.
  __device__ int draw_from_list() {
    __shared__ double weights[kShortList];
    const uint64_t* list = select_.list();
    const int i = static_cast<int>(threadIdx.x);
    int count = select_.list_size();
    const int token = i < count ? rank_token(list[i]) : 0;
    if (i < count) weights[i] = double{select_.weight(rank_logit(list[i]))};
    __syncthreads();
    if (row_.top_p < 1) count = count_by_mass(weights, count);
    const double least = double{min_weight()};
    double total = 0, upto = 0;  // of the kept tokens, and of those up to this one by id
    for (int j = 0; i < count && j < count && weights[j] >= least; ++j) {
      total += weights[j];
      if (rank_token(list[j]) <= token) upto += weights[j];
    }
    // The least id that passes; where rounding keeps all from it, the largest id.
    constexpr int kNotPassing = 1 << 30;
    const bool possible = i < count && weights[i] >= least && weights[i] > 0;
    const bool passes = upto > draw_uniform(row_) * total;
    const int vocab = choose_.logits.vocab;
    const int order = block_reduce<Smaller>(
        !possible ? 2 * (kNotPassing - 1) : (passes ? token : kNotPassing + vocab - token));
    return order < kNotPassing ? order : vocab - (order - kNotPassing);
  }

  // How many of the list's tokens top-p keeps.
  __device__ int count_by_mass(const double* weights, int count) const {
    const int i = static_cast<int>(threadIdx.x);
    double total = 0, upto = 0;
    for (int j = 0; i < count && j < count; ++j) {
      total += weights[j];
      if (j == i) upto = total;
    }
    const bool reaches = i < count && upto >= share() * total;
    return block_reduce<Smaller>(reaches ? i : count - 1) + 1;
  }

  // The draw among the row's tokens of ranks from `low` on.
  __device__ int draw_from_row(uint64_t low) {
    const Kept kept{low, min_weight()};
    const int hot = select_.find_hot(kept.low);
    if (needs_sums(row_, choose_.logits.vocab)) {
      take_sums(hot);
    } else {
      add_weights(hot, kept);
    }
    __syncthreads();
    return draw(hot, kept);
  }

  // A rank that every token of at least this weight reaches.
  __device__ uint64_t low_for_weight(float weight) const {
    const double below = log(fmin(double{weight}, 1.0)) * row_.temperature;
    const uint32_t bits = ordered_bits(static_cast<float>(double{select_.top()} + below));
    constexpr uint32_t kSlack = 8;  // for the roundings of the logit
    return first_rank(bits > kLowestBits + kSlack ? bits - kSlack : kLowestBits);
  }

  __device__ float kept_weight(uint64_t rank, const Kept& kept) const {
    if (rank < kept.low) return 0;
    const float weight = select_.weight(rank_logit(rank));
    return weight >= kept.min_weight ? weight : 0.0f;
  }

  // The mass of each hot block: from the scan where every token is kept, else from its tokens.
  __device__ void take_sums(int hot) {
    const int64_t first = int64_t{index_} * kMaxTokenBlocks;
    for (int h = static_cast<int>(threadIdx.x); h < hot; h += kRowThreads) {
      const int block = select_.hot_block(h);
      const float max = select_.infinite() ? select_.top() : choose_.block_max[first + block];
      select_.block_mass()[h] = double{choose_.sum[first + block]} * double{select_.weight(max)};
    }
  }

  __device__ void add_weights(int hot, const Kept& kept) {
    int current = warp_index();
    float mass = 0;
    const auto flush = [&] {
      mass = warp_reduce<Plus>(mass);
      if (lane_index() == 0) select_.block_mass()[current] = mass;
      mass = 0;
    };
    select_.each_token(warp_index(), hot, kRowWarps, [&](int h, int, uint64_t rank) {
      if (h != current) {
        flush();
        current = h;
      }
      mass += kept_weight(rank, kept);
    });
    if (current < hot) flush();
  }

  // The token at which the running sum, by id, passes uniform * sum: first the block, then, by one
  // warp, the token in it.
  __device__ int draw(int hot, const Kept& kept) {
    __shared__ int drawn;
    const double* masses = select_.block_mass();
    const int each = (hot + kRowThreads - 1) / kRowThreads;
    const int begin = static_cast<int>(threadIdx.x) * each, end = min(begin + each, hot);
    double mass = 0;
    for (int h = begin; h < end; ++h) mass += masses[h];
    const Prefix<double> prefix = block_prefix(mass);
    const double target = draw_uniform(row_) * prefix.total;
    double running = prefix.before;
    int passing = kMaxTokenBlocks, last = 0;
    for (int h = begin; h < end; ++h) {
      if (masses[h] <= 0) continue;
      last = h;
      running += masses[h];
      if (running > target) passing = min(passing, h);
    }
    passing = block_reduce<Smaller>(passing);
    // Rounding may keep the sum from passing: the last that has any mass then.
    last = block_reduce<Larger>(last);
    const int chosen = min(passing, last);
    if (chosen >= begin && chosen < end) before_chosen(chosen, begin, prefix.before);
    __syncthreads();
    if (warp_index() == 0) {
      const int token = draw_in(chosen, target - select_.block_mass()[chosen], kept);
      if (lane_index() == 0) drawn = token;
    }
    __syncthreads();
    return drawn;
  }

  // Replaces the chosen block's mass by the mass before it.
  __device__ void before_chosen(int chosen, int begin, double before) const {
    for (int h = begin; h < chosen; ++h) before += select_.block_mass()[h];
    select_.block_mass()[chosen] = before;
  }

  // Within hot block `h`, by one warp.
  __device__ int draw_in(int h, double target, const Kept& kept) const {
    int token = -1;
    bool passed = false;
    double running = 0;
    select_.each_token(h, h + 1, 1, [&](int, int id, uint64_t rank) {
      if (passed) return;
      const float weight = kept_weight(rank, kept);
      const double inclusive = running + warp_inclusive_sum(double{weight});
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

  const SamplingChooseLaunch& choose_;
  const DeviceSamplingRow& row_;
  const int index_;
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
  if (row.slot < 0 || (row.flags & DeviceSamplingRow::kActive) == 0) return;
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
  RowChooser chooser(shared, choose, row);
  const int token = chooser.choose();
  if (threadIdx.x == 0) keep(choose, row, token);
}

}  // namespace

cudaError_t launch_sampling_choose(const SamplingChooseLaunch& choose, cudaStream_t stream) {
  return launch(sampling_choose_kernel, dim3(static_cast<unsigned>(choose.logits.rows)),
                dim3(kRowThreads), 0, stream, true, choose);
}

}  // namespace lmdeploy::cuda
