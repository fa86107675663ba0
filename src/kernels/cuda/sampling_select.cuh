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

// Ranks [low, high), and the count or mass of the tokens above them.
struct RankRange {
  uint64_t low, high;
  double before;
};

class RowSelect {
 public:
  static constexpr int kListMax = 4096;

  struct Shared {
    union {
      uint64_t list[kListMax];
      double block_mass[kMaxTokenBlocks];  // once the list is no longer needed
    };
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
      max_[b] += 0.0f;  // -0 equals 0
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
      if (id < vocab_ && counted_logit(logits_[id], id, mask_, infinite_) == top_)
        token = min(token, id);
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
          reached += __syncthreads_count(ordered_bits(max_[b]) >= (bits | bit));
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
      hot[b] = thread_block(b) < blocks_ && ordered_bits(max_[b]) >= low_bits;
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

  // fn(h, token, rank) for the tokens of the hot blocks h = first, first + step, ... below `end`,
  // one for each lane at a time; every lane of the warp takes part, with rank 0 beyond the
  // vocabulary. The next tokens are on their way while these are worked on.
  template <class Fn>
  __device__ void each_token(int first, int end, int step, Fn&& fn) const {
    Group next;
    if (first < end) load(first, 0, next);
    for (int h = first; h < end; h += step) {
      for (int offset = 0; offset < block_; offset += kTokenGroup) {
        const Group group = next;
        if (offset + kTokenGroup < block_) {
          load(h, offset + kTokenGroup, next);
        } else if (h + step < end) {
          load(h + step, 0, next);
        }
#pragma unroll
        for (int i = 0; i < kLaneTokens; ++i) {
          const int token = group.begin + i * 32 + lane_index();
          const float logit = counted_logit(group.x[i], token, mask_in(token), infinite_);
          fn(h, token, token < vocab_ ? rank_of(logit, token) : 0);
        }
      }
    }
  }

  // The rank of the last of the k likeliest tokens (of the last one there is when there are fewer).
  // list() holds them then.
  __device__ uint64_t cut_by_count(int k) {
    RankRange range{low_for(k), after_top(), 0};
    whole_ = narrow_to_list<false>(range, k);
    kept_ = min(found_, k - static_cast<int>(range.before));
    const uint64_t cut = shared_.list[kept_ - 1];
    if (!whole_) {
      whole_ = gather(cut, after_top());
      kept_ = found_;
    }
    return cut;
  }

  // The rank of the last of the fewest tokens, likeliest first, whose weights' sum reaches
  // `wanted`. It is in the range, whose `before` is the sum of the likelier ones.
  __device__ uint64_t cut_by_mass(RankRange range, double wanted) {
    narrow_to_list<true>(range, wanted);
    kept_ = found_;
    return cut_list_by_mass(range.before, wanted);
  }

  // The same among all tokens, by weigh's masses: `share` is the part of all mass that is wanted.
  __device__ uint64_t cut_by_masses(const uint64_t* masses, double share) {
    const int bin = static_cast<int>(threadIdx.x);
    double mass = 0;
    if (bin < kMassBins) {
      mass = static_cast<double>(masses[bin]) / kMassUnit *
             exp(-static_cast<double>(bin) / kBinsPerNat);
    }
    const Prefix<double> prefix = block_prefix(mass);
    const double wanted = share * prefix.total;
    // The bin that reaches it; the last one with any mass where rounding keeps the sum from it.
    const bool reaches = mass > 0 && prefix.before + mass >= wanted;
    const int last = block_reduce<Larger>(mass > 0 ? bin : 0);
    const int chosen = block_reduce<Smaller>(reaches ? bin : last);
    const double before = block_reduce<Plus>(bin == chosen ? prefix.before : 0.0);
    const uint64_t high = chosen == 0 ? after_top() : first_rank(bin_end(chosen - 1));
    return cut_by_mass({first_rank(bin_end(chosen)), high, before}, wanted);
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
    each_token(warp_index(), hot, kRowWarps, [&](int, int, uint64_t rank) {
      if (rank >= low) sum += double{weight(rank_logit(rank))};
    });
    return block_reduce<Plus>(sum);
  }

  __device__ RankRange range_from(uint64_t low) const { return {low, after_top(), 0}; }
  __device__ double* block_mass() const { return shared_.block_mass; }
  __device__ int hot_block(int h) const { return shared_.hot[h]; }

  // After cut_by_count(): whether the list holds every token that it keeps.
  __device__ bool list_is_whole() const { return whole_; }
  __device__ bool list_is_short() const { return whole_ && kept_ <= kShortList; }
  __device__ const uint64_t* list() const { return shared_.list; }
  __device__ int list_size() const { return kept_; }

 private:
  static constexpr int kLaneTokens = kTokenGroup / 32;
  static constexpr int kThreadBlocks = kMaxTokenBlocks / kRowThreads;
  static constexpr int kBinBits = 2;
  static constexpr int kBins = 1 << kBinBits;

  __device__ static int thread_block(int b) {
    return static_cast<int>(threadIdx.x) * kThreadBlocks + b;
  }

  struct Group {
    float x[kTokenGroup / 32];
    int begin;
  };

  __device__ void load(int h, int offset, Group& group) const {
    group.begin = shared_.hot[h] * block_ + offset;
#pragma unroll
    for (int i = 0; i < kLaneTokens; ++i) {
      const int token = group.begin + i * 32 + lane_index();
      group.x[i] = token < vocab_ ? logits_[token] : -INFINITY;
    }
  }
  // The mask, where the token has a bit in it.
  __device__ const uint32_t* mask_in(int token) const { return token < vocab_ ? mask_ : nullptr; }

  __device__ uint64_t after_top() const { return rank_of(top_, 0) + 1; }

  // The least bits of a logit that mass_bin() puts into `bin` or a lower one.
  __device__ uint32_t bin_end(int bin) const {
    uint32_t below = kLowestBits - 1, reached = ordered_bits(top_);
    if (bin == kMassBins - 1) return kLowestBits;
    while (reached - below > 1) {
      const uint32_t middle = below + (reached - below) / 2;
      (mass_bin(rank_logit(first_rank(middle)), top_, scale_) <= bin ? reached : below) = middle;
    }
    return reached;
  }

  // Sorts the tokens of ranks [low, high) into the list; false when they are too many.
  __device__ bool gather(uint64_t low, uint64_t high) {
    if (threadIdx.x == 0) shared_.found = 0;
    const int hot = find_hot(low);
    each_token(warp_index(), hot, kRowWarps, [&](int, int, uint64_t rank) {
      const bool take = rank >= low && rank < high;
      const uint32_t takers = __ballot_sync(kAllLanes, take);
      if (takers == 0) return;
      int at = 0;
      if (lane_index() == 0) at = atomicAdd(&shared_.found, __popc(takers));
      at = __shfl_sync(kAllLanes, at, 0) + __popc(takers & ((1u << lane_index()) - 1));
      if (take && at < kListMax) shared_.list[at] = rank;
    });
    __syncthreads();
    found_ = shared_.found;
    __syncthreads();
    if (found_ > kListMax) return false;
    if (found_ <= kShortList) {
      sort_short(shared_.list, found_);
    } else {
      sort_descending(shared_.list, found_);
    }
    return true;
  }

  // Narrows the range around the token at which the running count (or mass), likeliest first,
  // reaches `wanted`, until the rest fits into the list. True when it did at once.
  template <bool kByMass>
  __device__ bool narrow_to_list(RankRange& range, double wanted) {
    bool at_once = true;
    while (!gather(range.low, range.high)) {
      narrow<kByMass>(range, wanted);
      at_once = false;
    }
    return at_once;
  }

  // One radix step.
  template <bool kByMass>
  __device__ void narrow(RankRange& range, double wanted) {
    const uint64_t low = range.low, high = range.high;
    const int bits = 64 - __clzll(static_cast<long long>(high - low - 1));
    const int shift = bits > kBinBits ? bits - kBinBits : 0;
    int counts[kBins] = {};
    double masses[kBins] = {};
    const int hot = find_hot(low);
    each_token(warp_index(), hot, kRowWarps, [&](int, int, uint64_t rank) {
      if (rank < low || rank >= high) return;
      const int bin = static_cast<int>((rank - low) >> shift);
      const double mass = kByMass ? double{weight(rank_logit(rank))} : 0.0;
#pragma unroll
      for (int b = 0; b < kBins; ++b) {
        counts[b] += b == bin;
        if (kByMass && b == bin) masses[b] += mass;
      }
    });
    int chosen = 0;
    double sum = range.before;
    bool reached = false;
#pragma unroll
    for (int b = kBins - 1; b >= 0; --b) {
      const int count = block_reduce<Plus>(counts[b]);
      const double more = kByMass ? block_reduce<Plus>(masses[b]) : double(count);
      if (reached || count == 0) continue;
      chosen = b;
      range.before = sum;
      sum += more;
      reached = sum >= wanted;
    }
    range.low += static_cast<uint64_t>(chosen) << shift;
    const uint64_t width = uint64_t{1} << shift;
    if (high - range.low > width) range.high = range.low + width;
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
