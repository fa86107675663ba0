// The warps of the Hopper attention kernel that hand out tiles of rows and copy tiles of K and V,
// and the shared memory between them and those that multiply (attention_sm90.cuh).
#pragma once

#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/attention_sm90.h"
#include "kernels/cuda/gemm_barrier_sm90.cuh"

namespace lmdeploy::cuda::sm90 {

constexpr int kGroups = 2;  // warpgroups that multiply
constexpr int kGroupThreads = 128;
constexpr int kGroupRows = 64;
constexpr int kThreads = (1 + kGroups) * kGroupThreads;  // the first warpgroup copies
constexpr int kRows = kGroups * kGroupRows;

// What a kernel is made for: columns of a key and of a value, and tokens of a tile. Expanded keys and
// values are rows of the step (ExpandedLaunch), others are in pages.
template <int kKeyColumns_, int kValueColumns_, int kTokens_, int kStages_, bool kExpanded_ = false>
struct Shape {
  static constexpr int kKeyColumns = kKeyColumns_, kValueColumns = kValueColumns_;
  static constexpr int kTokens = kTokens_, kStages = kStages_;
  static constexpr bool kExpanded = kExpanded_;
};
using NarrowHeads = Shape<64, 64, 128, 4>;
using WideHeads = Shape<128, 128, 128, 3>;
using ExpandedHeads = Shape<kExpandedColumns + kExpandedRope, kExpandedColumns, 64, 5, true>;

// Named barriers (0 is __syncthreads).
constexpr int kTurnBarrier = 1;             // + warpgroup: its turn to issue products
constexpr int kGroupBarrier = 1 + kGroups;  // + warpgroup: its own threads

// A tile of rows, as the warp that hands them out tells the others.
struct WorkTile {
  SequencePlace place;  // queries == 0: there are no more
  int first_row;
  int kv_head;
  TokenRange range;

  // The first tile of `tokens` tokens, and the last.
  __device__ int start(int tokens) const { return range.first / tokens * tokens; }
  __device__ int last_start(int tokens) const { return (range.end - 1) / tokens * tokens; }
};

// Shared memory. K and V of a stage: for each 64 columns, [S::kTokens, 64], swizzled.
template <class S>
struct Layout {
  static constexpr int kKeyParts = S::kKeyColumns / 64, kValueParts = S::kValueColumns / 64;
  static constexpr int kPartBytes = S::kTokens * 128;
  static constexpr int kKeyBytes = kKeyParts * kPartBytes, kValueBytes = kValueParts * kPartBytes;
  static constexpr int kStages = S::kStages;
  static constexpr int kBarriersAt = kStages * (kKeyBytes + kValueBytes);
  static constexpr int kBarriers = 4 * kStages + 2;
  static constexpr int kTileAt = kBarriersAt + kBarriers * 8;
  static constexpr int kBytes = kTileAt + static_cast<int>(sizeof(WorkTile));

  uint32_t base;

  __device__ uint32_t keys(int stage) const { return base + stage * (kKeyBytes + kValueBytes); }
  __device__ uint32_t values(int stage) const { return keys(stage) + kKeyBytes; }
  __device__ uint32_t barrier(int i) const { return base + kBarriersAt + i * 8; }
  __device__ uint32_t keys_full(int stage) const { return barrier(stage); }
  __device__ uint32_t keys_empty(int stage) const { return barrier(kStages + stage); }
  __device__ uint32_t values_full(int stage) const { return barrier(2 * kStages + stage); }
  __device__ uint32_t values_empty(int stage) const { return barrier(3 * kStages + stage); }
  __device__ uint32_t tile_full() const { return barrier(4 * kStages); }
  __device__ uint32_t tile_empty() const { return barrier(4 * kStages + 1); }

  __device__ void init_barriers() const {
    constexpr int kReaders = kGroups * 4;  // warps
    for (int stage = 0; stage < kStages; ++stage) {
      barrier_init(keys_full(stage), 1);
      barrier_init(values_full(stage), 1);
      barrier_init(keys_empty(stage), kReaders);
      barrier_init(values_empty(stage), kReaders);
    }
    barrier_init(tile_full(), 1);
    barrier_init(tile_empty(), kGroups * kGroupThreads + 32);  // all threads that read it
    barrier_inits_done();
  }
};

// A stage and the parity of its round.
template <int kSize>
struct RingPlace {
  int index = 0;
  uint32_t parity = 0;

  __device__ void next() {
    if (++index < kSize) return;
    index = 0;
    parity ^= 1;
  }
};

__device__ __forceinline__ void copy_kv_box(uint32_t to, const CUtensorMap* map, int column,
                                            int token, int head, int page, uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(to),
      "l"(map), "r"(column), "r"(token), "r"(head), "r"(page), "r"(barrier)
      : "memory");
}

// Of K or V that a warp's products have read: the copies may overwrite it.
__device__ __forceinline__ void release(uint32_t barrier) {
  __syncwarp();
  if (threadIdx.x % 32 == 0) barrier_arrive(barrier);
}

// The tiles of the block, one after the other in one place, as its readers see them.
template <class L>
class TileReader {
 public:
  __device__ TileReader(L layout, const WorkTile* tile)
      : layout_(layout), tile_(tile) {}
  __device__ WorkTile read() const {
    barrier_wait(layout_.tile_full(), parity_);
    return *tile_;
  }
  // After read(): gives way to the next tile. Each thread for itself, since each has read.
  __device__ void done() {
    barrier_arrive(layout_.tile_empty());
    parity_ ^= 1;
  }

 private:
  L layout_;
  const WorkTile* tile_;
  uint32_t parity_ = 0;
};

// The warp that hands out tiles.
template <class L, int kTileRows>
class TileWriter {
 public:
  __device__ TileWriter(const AttentionLaunch& args, L layout, WorkTile* tile)
      : args_(args), layout_(layout), tile_(tile) {}

  __device__ void run() {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (uint32_t parity = 0;; parity ^= 1) {
      barrier_wait(layout_.tile_empty(), parity ^ 1);
      const WorkTile tile = next_tile(lane);
      if (lane == 0) {
        *tile_ = tile;
        barrier_arrive(layout_.tile_full());
      }
      if (tile.place.queries == 0) return;
    }
  }

 private:
  // Every block takes one number behind the last tile; the last of them sets the counter back.
  __device__ WorkTile next_tile(int lane) {
    unsigned number = 0;
    if (lane == 0) number = atomicAdd(args_.tickets, 1u);
    const int ticket = static_cast<int>(__shfl_sync(0xFFFFFFFFu, number, 0));
    const RowTile found = find_tile<kTileRows>(args_, ticket / args_.kv_heads);
    const int kv_head = ticket % args_.kv_heads;
    if (found.place.queries == 0) {
      const int behind = found.beyond * args_.kv_heads + kv_head;
      if (lane == 0 && behind + 1 == static_cast<int>(gridDim.x)) *args_.tickets = 0;
      return {};
    }
    return {found.place, found.first_row, kv_head,
            range_of(args_, found.place, found.first_row, kTileRows)};
  }

  const AttentionLaunch& args_;
  L layout_;
  WorkTile* tile_;
};

// The copying warp.
template <class S>
class Copier {
 public:
  __device__ Copier(const AttentionSm90Launch& launch, Layout<S> layout, const WorkTile* tile)
      : launch_(launch),
        args_(launch.args),
        layout_(layout),
        tiles_(layout, tile),
        lane_(static_cast<int>(threadIdx.x) % 32) {}

  __device__ void run() {
    for (;;) {
      const WorkTile tile = tiles_.read();
      if (tile.place.queries == 0) return;
      // The next tile is asked for no sooner than needed: it may fall to a block that is done
      // earlier.
      constexpr int kTokens = S::kTokens, kAhead = 2 * kTokens;
      const int start = tile.start(kTokens), last_start = tile.last_start(kTokens);
      const int ask_at = min(last_start, start + kAhead - kTokens);
      for (int token = last_start; token >= start; token -= kTokens) {
        if (token == ask_at) tiles_.done();
        copy(tile, token);
      }
    }
  }

 private:
  // K, then V of the tokens from `token` on. Lanes copy a box each: first the lanes of columns 0 .. 63,
  // then those of the next.
  __device__ void copy(const WorkTile& tile, int token) {
    const int boxes = S::kTokens / launch_.box_tokens;  // of 64 columns
    const int part = lane_ / boxes, first = lane_ % boxes * launch_.box_tokens;
    const bool seen =
        token + first < tile.range.end && token + first + launch_.box_tokens > tile.range.first;
    int page = -1;  // reads as zeros
    int row = tile.place.first_query + token + first;
    if (S::kExpanded) {
      if (seen) page = 0;
    } else {
      if (part < Layout<S>::kKeyParts && seen) {
        page = args_.block_table[tile.place.sequence * args_.block_table_stride +
                                 ((token + first) >> args_.block_shift)];
      }
      row = (token + first) & ((1 << args_.block_shift) - 1);
    }
    const uint32_t at = static_cast<uint32_t>(part * Layout<S>::kPartBytes + first * 128);
    expect(layout_.keys_full(stage_.index), layout_.keys_empty(stage_.index), Layout<S>::kKeyBytes);
    if (S::kExpanded && part == Layout<S>::kKeyParts - 1) {  // what all heads share
      copy_kv_box(layout_.keys(stage_.index) + at, &launch_.rope, 0, row, 0, page,
                  layout_.keys_full(stage_.index));
    } else if (part < Layout<S>::kKeyParts) {
      copy_kv_box(layout_.keys(stage_.index) + at, &launch_.keys, part * 64, row, tile.kv_head, page,
                  layout_.keys_full(stage_.index));
    }
    expect(layout_.values_full(stage_.index), layout_.values_empty(stage_.index),
           Layout<S>::kValueBytes);
    if (part < Layout<S>::kValueParts) {
      copy_kv_box(layout_.values(stage_.index) + at, &launch_.values, part * 64, row, tile.kv_head,
                  page, layout_.values_full(stage_.index));
    }
    stage_.next();
  }
  __device__ void expect(uint32_t full, uint32_t empty, int bytes) {
    barrier_wait(empty, stage_.parity ^ 1);
    if (lane_ == 0) barrier_expect(full, bytes);
    __syncwarp();
  }

  const AttentionSm90Launch& launch_;
  const AttentionLaunch& args_;
  Layout<S> layout_;
  TileReader<Layout<S>> tiles_;
  int lane_;
  RingPlace<Layout<S>::kStages> stage_;
};

}  // namespace lmdeploy::cuda::sm90
