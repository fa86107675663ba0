// How the decode kernel's work is cut and dealt out (attention_decode.cuh says why).
#pragma once

#include "kernels/cuda/attention_rows.cuh"

namespace lmdeploy::cuda::decode {

constexpr int kMostWarps = 8;  // of a block
constexpr int kRows = 16;
constexpr int kSliceTokens = 16;  // of a unit, for one warp
template <int kWarps>
constexpr int kUnitTokens = kWarps* kSliceTokens;
// What a segment costs beside its units, in units: reading its rows, summing the warps' results.
// The deal counts it, or blocks with short contexts would be the last to end: 256 sequences of 8 to
// 1,024 tokens with 32 heads take 321 us with one, 365 with none, 325 with two.
constexpr int kSegmentCost = 1;

struct CutRule {
  int least;  // units that a segment is cut for
  int uncut;  // segments of so many units are not cut to fill the device
};
// Where a block sums the parts when the last of them is there.
template <int kWarps>
constexpr CutRule kCutSparingly{.least = 256 / kUnitTokens<kWarps>, .uncut = 4};
// Where another kernel sums them, all rows at a time.
constexpr CutRule kCutFreely{.least = 1, .uncut = 1};

struct SequenceWork {
  SequencePlace place;
  int first_token;                     // the earliest that a row sees
  int first_block, blocks, row_tiles;  // blocks of a unit's tokens

  __device__ int segments(const AttentionLaunch& args) const { return row_tiles * args.kv_heads; }
  // Of a segment, and of the sequence.
  __device__ int segment_cost() const { return kSegmentCost + blocks; }
  __device__ int cost(const AttentionLaunch& args) const { return segment_cost() * segments(args); }
};

template <int kWarps>
__device__ __forceinline__ SequenceWork work_of(const AttentionLaunch& args, int sequence) {
  SequenceWork work{.place = place_of(args, sequence)};
  const SequencePlace& place = work.place;
  if (place.queries == 0 || place.kv_len == 0 || !is_ours(args, place)) return work;
  work.first_token = first_visible(args, place.position(0));
  work.first_block = work.first_token / kUnitTokens<kWarps>;
  work.blocks =
      (place.kv_len + kUnitTokens<kWarps> - 1) / kUnitTokens<kWarps> - work.first_block;
  work.row_tiles = (place.queries * args.group + kRows - 1) / kRows;
  return work;
}

// A unit; they come in the order of sequence, KV head, row tile, block. Where the deal counts
// costs, unit `block` of a segment is at kSegmentCost + block of it.
template <int kWarps>
struct Cursor {
  SequenceWork work;
  int segment;  // KV head * row_tiles + row tile
  int block;    // from work.first_block on

  // At cost `offset` of the sequence: a segment's beginning, or a unit. Past the last is the next
  // sequence's beginning.
  __device__ Cursor(const AttentionLaunch& args, int sequence, int offset)
      : work(work_of<kWarps>(args, sequence)),
        segment(offset / work.segment_cost()),
        block(max(0, offset % work.segment_cost() - kSegmentCost)) {
    if (segment == work.segments(args)) next_sequence(args);
  }
  __device__ void next(const AttentionLaunch& args) {
    if (++block < work.blocks) return;
    block = 0;
    if (++segment == work.segments(args)) next_sequence(args);
  }
  // The cost before the unit that belongs to none before it.
  __device__ int cost_before() const { return block == 0 ? kSegmentCost : 0; }
  // One row tile is the common case, and a division costs as much as the rest of a copy's address.
  __device__ int kv_head() const {
    return work.row_tiles == 1 ? segment : segment / work.row_tiles;
  }
  __device__ int first_row() const {
    return work.row_tiles == 1 ? 0 : segment % work.row_tiles * kRows;
  }
  __device__ int token(int warp) const {
    return (work.first_block + block) * kUnitTokens<kWarps> + warp * kSliceTokens;
  }
  // Whether no token of the warp's slice belongs to this step.
  __device__ bool is_settled(int warp) const {
    return token(warp) + kSliceTokens <= work.place.kv_len - work.place.queries;
  }

 private:
  __device__ void next_sequence(const AttentionLaunch& args) {
    segment = 0;
    for (int sequence = work.place.sequence + 1; sequence < args.sequences; ++sequence) {
      work = work_of<kWarps>(args, sequence);
      if (work.blocks > 0) return;
    }
  }
};

// What is whose: `shares` blocks share the cost of all segments evenly, but a border between two
// that would cut off `slack` units of a segment or less moves to the segment's end: a few units
// more cost less than summing parts.
struct Deal {
  int64_t cost, shares;
  int slack;

  __device__ Deal(int all, int segments, int blocks, CutRule rule) : cost(all), slack(0) {
    const int units = all - segments * kSegmentCost;
    int most = segments;
    if (units > rule.uncut * segments) most = (units + rule.least - 1) / rule.least;
    // A share of cost 1 is empty where a segment begins.
    if (most > segments && rule.least == 1) most = all;
    shares = even_shares(segments, min(blocks, most));
    const int each = shares == 0 ? 0 : static_cast<int>(cost / shares);
    slack = each < 2 * rule.least ? rule.least / 2 : max(1, each / 16);
  }
  // Where share `share` begins before borders move.
  __device__ int border(int share) const { return static_cast<int>(share * cost / shares); }
  // How far that border moves, when it is `offset` into a segment that costs `length`.
  __device__ int shift(int offset, int length) const {
    if (offset <= kSegmentCost + slack) return -offset;
    return length - offset <= slack ? length - offset : 0;
  }
  // The blocks that share the segment at [begin, end).
  __device__ int first_share(int begin, int end) const {
    return share_of(min(begin + kSegmentCost + slack, end - 1));
  }
  __device__ int last_share(int begin, int end) const {
    return max(share_of(end - 1 - slack), first_share(begin, end));
  }

 private:
  // `shares`, or a few less where then segments of one length are cut nowhere or into equal parts.
  // Of many segments a share cuts one at most, which is not worth it.
  __device__ static int even_shares(int segments, int shares) {
    int even = shares;
    if (segments == 0) return 0;
    if (segments <= shares) {
      even = shares / segments * segments;
    } else if (segments <= 4 * shares) {
      const int each = (segments + shares - 1) / shares;
      even = (segments + each - 1) / each;
    }
    return even * 16 >= shares * 15 ? even : shares;
  }
  // Of what is at `at`, before borders move.
  __device__ int share_of(int64_t at) const {
    return static_cast<int>(((at + 1) * shares - 1) / cost);
  }
};

// What a block's threads share about its share.
struct ShareOfBlock {
  int begin, end;        // of all cost
  int sequence, offset;  // where it begins: the sequence, and the cost in it
  int warp_cost[kMostWarps];
  int warp_segments[kMostWarps];
};

// The cost of the sequences up to and with this thread's; cost and segments of all.
struct Sums {
  int through, cost, segments;
};
template <int kWarps>
__device__ inline Sums sum_in_block(int own_cost, int own_segments, ShareOfBlock& shared) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  Sums sums{.through = own_cost};
  for (int offset = 1; offset < 32; offset *= 2) {
    const int below = __shfl_up_sync(0xFFFFFFFFu, sums.through, offset);
    if (lane >= offset) sums.through += below;
    own_segments += __shfl_xor_sync(0xFFFFFFFFu, own_segments, offset);
  }
  if (lane == 31) {
    shared.warp_cost[warp] = sums.through;
    shared.warp_segments[warp] = own_segments;
  }
  __syncthreads();
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) sums.through += shared.warp_cost[w];
    sums.cost += shared.warp_cost[w];
    sums.segments += shared.warp_segments[w];
  }
  return sums;
}

// Finds this block's share. The units are those of kWarps warps; further warps go along.
template <int kWarps>
__device__ inline Deal deal(const AttentionLaunch& args, CutRule rule, ShareOfBlock& shared) {
  constexpr int kThreads = kWarps * 32;
  const int each = (args.sequences + kThreads - 1) / kThreads;
  const int first = min(static_cast<int>(threadIdx.x) * each, args.sequences);
  const int last = min(first + each, args.sequences);
  int own = 0, own_segments = 0;
  for (int b = first; b < last; ++b) {
    const SequenceWork work = work_of<kWarps>(args, b);
    own += work.cost(args);
    own_segments += work.segments(args);
  }
  const Sums sums = sum_in_block<kWarps>(own, own_segments, shared);
  const Deal deal(sums.cost, sums.segments, static_cast<int>(gridDim.x), rule);
  const int share = static_cast<int>(blockIdx.x);
  for (int side = 0; side < 2 && share < deal.shares; ++side) {
    const int border = deal.border(share + side);
    int offset = border - (sums.through - own);
    if (side == 1 && border == sums.cost) {
      shared.end = sums.cost;  // all threads write the same
    } else if (offset >= 0 && offset < own) {
      int b = first;
      SequenceWork work = work_of<kWarps>(args, b);
      for (; offset >= work.cost(args); work = work_of<kWarps>(args, ++b)) {
        offset -= work.cost(args);
      }
      const int shift = deal.shift(offset % work.segment_cost(), work.segment_cost());
      if (side == 1) {
        shared.end = border + shift;
      } else {
        shared.begin = border + shift;
        shared.sequence = b;
        shared.offset = offset + shift;
      }
    }
  }
  __syncthreads();
  return deal;
}

}  // namespace lmdeploy::cuda::decode
