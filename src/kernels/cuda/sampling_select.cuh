// RowSelect: finds the likeliest tokens of a row without sorting it. A block of threads a row.
//
// The k-th largest of the block maxima is at most the k-th largest logit, so the few blocks of
// tokens whose maximum reaches it hold all that can be among the k likeliest. These candidates are
// sorted in shared memory. Where there are too many for it (flat distributions), the range of ranks
// is narrowed first, by a radix step over the row at a time.
#pragma once

#include "kernels/cuda/device_sampling_launch.h"
#include "kernels/cuda/sampling_block.cuh"
#include "kernels/cuda/sampling_filters.cuh"

namespace lmdeploy::cuda {

class RowSelect {
 public:
  static constexpr int kListMax = 4096;

  struct Shared {
    uint64_t list[kListMax];
    uint16_t hot[kMaxTokenBlocks];
    int found;
  };

  // `scale` is 1 / temperature.
  __device__ RowSelect(Shared& shared, const LogitRows& rows, int row, const uint32_t* mask,
                       float scale)
      : shared_(shared),
        logits_(rows.logits + row * rows.stride),
        mask_(mask),
        vocab_(rows.vocab),
        block_(rows.block),
        blocks_(rows.blocks),
        scale_(scale) {}

  // Reads the row's block maxima. False when no token is possible.
  __device__ bool load(const float* block_max) {
    float max = -INFINITY;
#pragma unroll
    for (int b = 0; b < kThreadBlocks; ++b) {
      max_[b] = thread_block(b) < blocks_ ? block_max[thread_block(b)] : -INFINITY;
      max = fmaxf(max, max_[b]);
    }
    top_ = block_reduce<Larger>(max);
    infinite_ = top_ == INFINITY;
    if (infinite_) {
      top_ = 0;
#pragma unroll
      for (int b = 0; b < kThreadBlocks; ++b) max_[b] = max_[b] == INFINITY ? 0.0f : -INFINITY;
    }
    return top_ > -INFINITY;
  }

  __device__ float top() const { return top_; }
  __device__ bool infinite() const { return infinite_; }

  // The logit that counts: NaN, masked tokens, and others beside an infinite one are -inf.
  __device__ float counted(float x, int token) const {
    if (!(x > -INFINITY) || (mask_ != nullptr && !allowed(mask_, token))) return -INFINITY;
    if (infinite_) return x == INFINITY ? 0.0f : -INFINITY;
    return x + 0.0f;  // -0 equals 0
  }
  __device__ float weight(float logit) const { return expf((logit - top_) * scale_); }

  // sum of exp((x - top) * scale), from the scan's sums of the blocks.
  __device__ double total(const float* block_sum) const {
    double sum = 0;
#pragma unroll
    for (int b = 0; b < kThreadBlocks; ++b) {
      if (max_[b] > -INFINITY) {
        sum += double{block_sum[thread_block(b)]} * double{weight(max_[b])};
      }
    }
    return block_reduce<Plus>(sum);
  }

  __device__ int first_of_top() const {
    int block = kMaxTokenBlocks;
#pragma unroll
    for (int b = kThreadBlocks - 1; b >= 0; --b) {
      if (max_[b] == top_) block = thread_block(b);
    }
    block = block_reduce<Smaller>(block);
    int token = vocab_;
    for (int i = static_cast<int>(threadIdx.x); i < block_; i += kRowThreads) {
      const int id = block * block_ + i;
      if (id < vocab_ && counted(logits_[id], id) == top_) token = min(token, id);
    }
    return block_reduce<Smaller>(token);
  }

  // A rank that the k likeliest tokens reach.
  __device__ uint64_t low_for(int k) const {
    uint32_t bits = 0;
    if (k <= blocks_) {
      for (uint32_t bit = 0x80000000u; bit >= 0x1000u; bit /= 2) {
        int reached = 0;
#pragma unroll
        for (int b = 0; b < kThreadBlocks; ++b) {
          reached += __syncthreads_count(ordered_bits(max_[b] + 0.0f) >= (bits | bit));
        }
        if (reached >= k) bits |= bit;
      }
    }
    return first_rank(bits > kLowestBits ? bits : kLowestBits);
  }

  // The blocks of tokens that may hold a rank of at least `low`, ascending, in shared.hot.
  __device__ int find_hot(uint64_t low) {
    const uint32_t low_bits = static_cast<uint32_t>(low >> 32);
    int count = 0;
    bool hot[kThreadBlocks];
#pragma unroll
    for (int b = 0; b < kThreadBlocks; ++b) {
      hot[b] = thread_block(b) < blocks_ && ordered_bits(max_[b] + 0.0f) >= low_bits;
      count += hot[b];
    }
    const Prefix<int> prefix = block_prefix(count);
    int at = prefix.before;
#pragma unroll
    for (int b = 0; b < kThreadBlocks; ++b) {
      if (hot[b]) shared_.hot[at++] = static_cast<uint16_t>(thread_block(b));
    }
    __syncthreads();
    return prefix.total;
  }

  // fn(token, rank) for the tokens of hot block `h`, a lane each at a time; every lane of the warp
  // takes part, with rank 0 beyond the vocabulary.
  template <class Fn>
  __device__ void each_token(int h, Fn&& fn) const {
    constexpr int kLaneTokens = kTokenGroup / 32;
    const int end = (shared_.hot[h] + 1) * block_;
    for (int begin = end - block_; begin < end; begin += kTokenGroup) {
      float x[kLaneTokens];  // all on their way before the first is used
#pragma unroll
      for (int i = 0; i < kLaneTokens; ++i) {
        const int token = begin + i * 32 + lane_index();
        x[i] = token < vocab_ ? logits_[token] : -INFINITY;
      }
#pragma unroll
      for (int i = 0; i < kLaneTokens; ++i) {
        const int token = begin + i * 32 + lane_index();
        fn(token, token < vocab_ ? rank_of(counted(x[i], token), token) : 0);
      }
    }
  }

  // The rank of the last of the k likeliest tokens (of the last one there is when there are fewer).
  // list() holds them then.
  __device__ uint64_t cut_by_count(int k) {
    uint64_t low = low_for(k);
    double before = 0;
    if (narrow_to_list<false>(low, before, k)) {
      kept_ = min(found_, k);
      return shared_.list[kept_ - 1];
    }
    const int index = min(found_, k - static_cast<int>(before)) - 1;
    const uint64_t cut = shared_.list[index];
    whole_ = gather(cut, ~uint64_t{0});
    kept_ = found_;
    return cut;
  }

  // The rank of the last of the fewest tokens, likeliest first, whose weights' sum reaches
  // `wanted`, among those of at least `low`.
  __device__ uint64_t cut_by_mass(uint64_t low, double wanted) {
    double before = 0;
    narrow_to_list<true>(low, before, wanted);
    kept_ = found_;
    return cut_list_by_mass(before, wanted);
  }

  // The same among the tokens of the list, which holds all of the row's that matter.
  __device__ uint64_t cut_list_by_mass(double before, double wanted) const {
    const int each = (kept_ + kRowThreads - 1) / kRowThreads;
    const int begin = static_cast<int>(threadIdx.x) * each, end = min(begin + each, kept_);
    double sum = 0;
    for (int i = begin; i < end; ++i) sum += double{weight(rank_logit(shared_.list[i]))};
    double running = before + block_prefix(sum).before;
    int reached = kept_ - 1;
    for (int i = begin; i < end; ++i) {
      running += double{weight(rank_logit(shared_.list[i]))};
      if (running >= wanted) {
        reached = i;
        break;
      }
    }
    return shared_.list[block_reduce<Smaller>(reached)];
  }

  // Sum of the list's weights.
  __device__ double list_total() const {
    double sum = 0;
    for (int i = static_cast<int>(threadIdx.x); i < kept_; i += kRowThreads) {
      sum += double{weight(rank_logit(shared_.list[i]))};
    }
    return block_reduce<Plus>(sum);
  }

  // Sum of the weights of the row's tokens of at least `low`.
  __device__ double row_total(uint64_t low) {
    const int hot = find_hot(low);
    double sum = 0;
    for (int h = warp_index(); h < hot; h += kRowWarps) {
      each_token(h, [&](int, uint64_t rank) {
        if (rank >= low) sum += double{weight(rank_logit(rank))};
      });
    }
    return block_reduce<Plus>(sum);
  }

  // After cut_by_count(): whether the list holds every token that it keeps.
  __device__ bool list_is_whole() const { return whole_; }
  __device__ const uint64_t* list() const { return shared_.list; }
  __device__ int list_size() const { return kept_; }

 private:
  static constexpr int kThreadBlocks = kMaxTokenBlocks / kRowThreads;
  static constexpr int kBinBits = 3;
  static constexpr int kBins = 1 << kBinBits;

  __device__ static int thread_block(int b) {
    return static_cast<int>(threadIdx.x) * kThreadBlocks + b;
  }

  // Sorts the tokens of ranks [low, high) into the list; false when they are too many.
  __device__ bool gather(uint64_t low, uint64_t high) {
    if (threadIdx.x == 0) shared_.found = 0;
    const int hot = find_hot(low);
    for (int h = warp_index(); h < hot; h += kRowWarps) {
      each_token(h, [&](int, uint64_t rank) {
        const bool take = rank >= low && rank < high;
        const uint32_t takers = __ballot_sync(kAllLanes, take);
        if (takers == 0) return;
        int at = 0;
        if (lane_index() == 0) at = atomicAdd(&shared_.found, __popc(takers));
        at = __shfl_sync(kAllLanes, at, 0) + __popc(takers & ((1u << lane_index()) - 1));
        if (take && at < kListMax) shared_.list[at] = rank;
      });
    }
    __syncthreads();
    found_ = shared_.found;
    __syncthreads();
    if (found_ > kListMax) return false;
    sort_descending(shared_.list, found_);
    return true;
  }

  // Narrows [low, ...) around the token at which the running count (or mass), likeliest first,
  // reaches `wanted`, until the rest fits into the list. `before`: count (or mass) of the tokens
  // above the list's. True when there are none.
  template <bool kByMass>
  __device__ bool narrow_to_list(uint64_t& low, double& before, double wanted) {
    uint64_t high = rank_of(top_, 0) + 1;
    whole_ = true;
    while (!gather(low, high)) {
      narrow<kByMass>(low, high, before, wanted);
      whole_ = false;
    }
    return whole_;
  }

  // One radix step.
  template <bool kByMass>
  __device__ void narrow(uint64_t& low, uint64_t& high, double& before, double wanted) {
    const int bits = 64 - __clzll(static_cast<long long>(high - low - 1));
    const int shift = bits > kBinBits ? bits - kBinBits : 0;
    int counts[kBins] = {};
    double masses[kBins] = {};
    const int hot = find_hot(low);
    for (int h = warp_index(); h < hot; h += kRowWarps) {
      each_token(h, [&](int, uint64_t rank) {
        if (rank < low || rank >= high) return;
        const int bin = static_cast<int>((rank - low) >> shift);
        const double mass = kByMass ? double{weight(rank_logit(rank))} : 0.0;
#pragma unroll
        for (int b = 0; b < kBins; ++b) {
          counts[b] += b == bin;
          if (kByMass && b == bin) masses[b] += mass;
        }
      });
    }
    int chosen = 0;
    double sum = before;
    bool reached = false;
#pragma unroll
    for (int b = kBins - 1; b >= 0; --b) {
      const int count = block_reduce<Plus>(counts[b]);
      const double more = kByMass ? block_reduce<Plus>(masses[b]) : double(count);
      if (reached || count == 0) continue;
      chosen = b;
      before = sum;
      sum += more;
      reached = sum >= wanted;
    }
    low += static_cast<uint64_t>(chosen) << shift;
    const uint64_t end = low + (uint64_t{1} << shift);
    if (end < high) high = end;
  }

  Shared& shared_;
  const float* logits_;
  const uint32_t* mask_;
  const int vocab_, block_, blocks_;
  const float scale_;
  float max_[kThreadBlocks];  // of this thread's blocks of tokens
  float top_ = 0;
  bool infinite_ = false;
  int found_ = 0;  // tokens gathered
  int kept_ = 0;   // of the list, those that a cut kept
  bool whole_ = true;
};

}  // namespace lmdeploy::cuda
