// Attention of tiles of 128 rows on Hopper. A warp copies tiles of K and V from the pages, two
// warpgroups multiply them, 64 rows each. A warpgroup's products run asynchronously: those of the next
// scores are issued before those of the present weights with V, and it makes weights of the next scores
// while the latter run; the two warpgroups take turns, so that one makes weights while the other's
// products keep the tensor cores busy (FlashAttention-3, arXiv 2407.08608). Blocks stay; tiles of
// rows are handed out by a counter, the longest first, and the copies run ahead over the ends of tiles.
#pragma once

#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/attention_sm90.h"
#include "kernels/cuda/attention_wgmma_sm90.cuh"
#include "kernels/cuda/gemm_barrier_sm90.cuh"
#include "kernels/cuda/launch.cuh"

namespace lmdeploy::cuda::sm90 {

constexpr int kGroups = 2;  // warpgroups that multiply
constexpr int kGroupThreads = 128;
constexpr int kGroupRows = 64;
constexpr int kThreads = (1 + kGroups) * kGroupThreads;  // the first warpgroup copies
constexpr int kRows = kGroups * kGroupRows;
constexpr int kTokens = 128;
constexpr int kTileSlots = 2;

// Named barriers (0 is __syncthreads).
constexpr int kTurnBarrier = 1;              // + warpgroup: its turn to issue products
constexpr int kGroupBarrier = 1 + kGroups;   // + warpgroup: its own threads

// What the copying warp tells the others about a tile of rows.
struct WorkTile {
  SequencePlace place;
  int first_row;
  int kv_head;
  TokenRange range;  // end == 0: no more tiles

  __device__ int start() const { return range.first / kTokens * kTokens; }
  __device__ int last_start() const { return (range.end - 1) / kTokens * kTokens; }
};

// Shared memory. K and V of a stage: for each 64 columns, [kTokens, 64], swizzled.
template <int kWidth>
struct Layout {
  static constexpr int kParts = kWidth / 64;
  static constexpr int kPartBytes = kTokens * 128;
  static constexpr int kTileBytes = kParts * kPartBytes;
  static constexpr int kStages = kWidth == 128 ? 3 : 4;
  static constexpr int kBarriersAt = kStages * 2 * kTileBytes;
  static constexpr int kBarriers = 4 * kStages + 2 * kTileSlots;
  static constexpr int kTilesAt = kBarriersAt + kBarriers * 8;
  static constexpr int kBytes = kTilesAt + kTileSlots * static_cast<int>(sizeof(WorkTile));

  uint32_t base;

  __device__ uint32_t keys(int stage) const { return base + stage * 2 * kTileBytes; }
  __device__ uint32_t values(int stage) const { return keys(stage) + kTileBytes; }
  __device__ uint32_t barrier(int i) const { return base + kBarriersAt + i * 8; }
  __device__ uint32_t keys_full(int stage) const { return barrier(stage); }
  __device__ uint32_t keys_empty(int stage) const { return barrier(kStages + stage); }
  __device__ uint32_t values_full(int stage) const { return barrier(2 * kStages + stage); }
  __device__ uint32_t values_empty(int stage) const { return barrier(3 * kStages + stage); }
  __device__ uint32_t tile_full(int slot) const { return barrier(4 * kStages + slot); }
  __device__ uint32_t tile_empty(int slot) const {
    return barrier(4 * kStages + kTileSlots + slot);
  }

  __device__ void init_barriers() const {
    constexpr int kReaders = kGroups * 4;  // warps
    for (int stage = 0; stage < kStages; ++stage) {
      barrier_init(keys_full(stage), 1);
      barrier_init(values_full(stage), 1);
      barrier_init(keys_empty(stage), kReaders);
      barrier_init(values_empty(stage), kReaders);
    }
    for (int slot = 0; slot < kTileSlots; ++slot) {
      barrier_init(tile_full(slot), 1);
      barrier_init(tile_empty(slot), kReaders);
    }
    barrier_inits_done();
  }
};

// A place in a ring of kSize and the parity of its round.
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

// The copying warp.
template <int kWidth>
class Copier {
 public:
  __device__ Copier(const AttentionSm90Launch& launch, Layout<kWidth> layout, WorkTile* slots)
      : launch_(launch), args_(launch.args), layout_(layout), slots_(slots),
        lane_(static_cast<int>(threadIdx.x) % 32) {}

  __device__ void run() {
    for (;;) {
      const WorkTile tile = next_tile();
      barrier_wait(layout_.tile_empty(slot_.index), slot_.parity ^ 1);
      if (lane_ == 0) {
        slots_[slot_.index] = tile;
        barrier_arrive(layout_.tile_full(slot_.index));
      }
      slot_.next();
      if (tile.range.end == 0) return;
      for (int token = tile.last_start(); token >= tile.start(); token -= kTokens)
        copy(tile, token);
    }
  }

 private:
  // Every block takes one number behind the last tile; the last of them sets the counter back.
  __device__ WorkTile next_tile() {
    unsigned number = 0;
    if (lane_ == 0) number = atomicAdd(args_.tickets, 1u);
    const int ticket = static_cast<int>(__shfl_sync(0xFFFFFFFFu, number, 0));
    const RowTile found = find_tile<kRows>(args_, ticket / args_.kv_heads);
    const int kv_head = ticket % args_.kv_heads;
    if (found.place.queries == 0) {
      const int behind = found.beyond * args_.kv_heads + kv_head;
      if (lane_ == 0 && behind + 1 == static_cast<int>(gridDim.x)) *args_.tickets = 0;
      return {};
    }
    return {found.place, found.first_row, kv_head,
            range_of(args_, found.place, found.first_row, kRows)};
  }

  // K, then V of the tokens from `token` on. Lanes copy a box each.
  __device__ void copy(const WorkTile& tile, int token) {
    const int part = lane_ % Layout<kWidth>::kParts;
    const int first = lane_ / Layout<kWidth>::kParts * launch_.box_tokens;
    const bool copies = first < kTokens;
    const bool seen = token + first < tile.range.end &&
                      token + first + launch_.box_tokens > tile.range.first;
    int page = -1;  // reads as zeros
    if (copies && seen) {
      page = args_.block_table[tile.place.sequence * args_.block_table_stride +
                               ((token + first) >> args_.block_shift)];
    }
    const int in_page = (token + first) & ((1 << args_.block_shift) - 1);
    const uint32_t at = static_cast<uint32_t>(part * Layout<kWidth>::kPartBytes + first * 128);
    copy_boxes(layout_.keys_full(stage_.index), layout_.keys_empty(stage_.index), copies,
               layout_.keys(stage_.index) + at, part * 64, in_page, tile.kv_head, page);
    copy_boxes(layout_.values_full(stage_.index), layout_.values_empty(stage_.index), copies,
               layout_.values(stage_.index) + at, part * 64, in_page,
               args_.kv_heads + tile.kv_head, page);
    stage_.next();
  }
  __device__ void copy_boxes(uint32_t full, uint32_t empty, bool copies, uint32_t to, int column,
                             int token, int head, int page) {
    barrier_wait(empty, stage_.parity ^ 1);
    if (lane_ == 0) barrier_expect(full, Layout<kWidth>::kTileBytes);
    __syncwarp();
    if (copies) copy_kv_box(to, &launch_.kv, column, token, head, page, full);
  }

  const AttentionSm90Launch& launch_;
  const AttentionLaunch& args_;
  Layout<kWidth> layout_;
  WorkTile* slots_;
  int lane_;
  RingPlace<Layout<kWidth>::kStages> stage_;
  RingPlace<kTileSlots> slot_;
};

// 64 rows of a warpgroup; each of its warps has 16, a lane two of them.
template <class T, int kWidth>
class Multiplier {
 public:
  __device__ Multiplier(const AttentionLaunch& args, Layout<kWidth> layout, const WorkTile* slots)
      : args_(args), layout_(layout), slots_(slots), rule_(args),
        group_(static_cast<int>(threadIdx.x) / kGroupThreads - 1),
        lane_(static_cast<int>(threadIdx.x) % 32) {
    shapes_ = args.softcap > 0 || args.alibi_slopes != nullptr || args.scale <= 0;
    to_log2_ = shapes_ ? 1.0f : kLog2E * args.scale;
    if (group_ == kGroups - 1) give_turn();  // to the first
  }

  __device__ void run() {
    for (;;) {
      barrier_wait(layout_.tile_full(slot_.index), slot_.parity);
      const WorkTile tile = slots_[slot_.index];
      release(layout_.tile_empty(slot_.index));
      slot_.next();
      if (tile.range.end == 0) return;
      attend(tile);
      store();
    }
  }

 private:
  using Scores = float[kTokens / 2];

  __device__ void attend(const WorkTile& tile) {
    start(tile);
    Scores s;
    int token = tile.last_start();
    RingPlace<Layout<kWidth>::kStages> values = stage_;
    barrier_wait(layout_.keys_full(stage_.index), stage_.parity);
    multiply_keys(s);
    wgmma_wait<0>();
    pin_sums(s);
    release(layout_.keys_empty(stage_.index));
    stage_.next();
    make_weights(token, s);
    pack(s);
    if (token + kTokens > tile.place.kv_len) clear_values(tile.place.kv_len - token, values);
    for (token -= kTokens; token >= tile.start(); token -= kTokens) {
      barrier_wait(layout_.keys_full(stage_.index), stage_.parity);
      take_turn();
      multiply_keys(s);
      barrier_wait(layout_.values_full(values.index), values.parity);
      multiply_values(values.index);
      give_turn();
      wgmma_wait<1>();
      pin_sums(s);
      release(layout_.keys_empty(stage_.index));
      stage_.next();
      make_weights(token, s);
      wgmma_wait<0>();
      pin_sums(out_);
      pin_sums(s);
      release(layout_.values_empty(values.index));
      values.next();
      rescale();
      pack(s);
    }
    barrier_wait(layout_.values_full(values.index), values.parity);
    rescale();
    multiply_values(values.index);
    wgmma_wait<0>();
    pin_sums(out_);
    release(layout_.values_empty(values.index));
  }

  __device__ void start(const WorkTile& tile) {
    const int first_row = tile.first_row + group_ * kGroupRows;
    const int row = first_row + static_cast<int>(threadIdx.x) % kGroupThreads / 32 * 16 + lane_ / 4;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      row_[i] = RowPlace(args_, tile.place, tile.kv_head, row + 8 * i);
      max_[i] = -INFINITY;
      sum_[i] = 0;
      rescale_[i] = 1;
    }
    load_queries<T, kWidth>(args_, row_, q_);
    const TokenRange range = range_of(args_, tile.place, first_row, kGroupRows);
    common_first_ = range.common_first;
    common_end_ = range.common_end;
#pragma unroll
    for (int i = 0; i < kWidth / 2; ++i) out_[i] = 0;
  }

  __device__ void multiply_keys(Scores& s) {
    const uint64_t keys = wgmma_operand(layout_.keys(stage_.index));
    pin_sums(s);
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < kWidth / 16; ++k) {
      const int at = k / 4 * (Layout<kWidth>::kPartBytes >> 4) + k % 4 * 2;
      wgmma<T, kTokens, WgmmaB::kKeys>(s, q_[k], keys + at, k > 0);
    }
    wgmma_commit();
  }
  __device__ void multiply_values(int stage) {
    const uint64_t values =
        wgmma_values_operand(layout_.values(stage), Layout<kWidth>::kPartBytes);
    pin_sums(out_);
    pin_weights();
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < kTokens / 16; ++k)
      wgmma<T, kWidth, WgmmaB::kValues>(out_, weights_[k], values + k * 128, true);
    wgmma_commit();
  }

  // Scores of tokens from `token` on to weights relative to a maximum. That stays behind the true one
  // by up to 2^kSlack, which fp32 and the 16-bit weights bear, so that sums rarely need rescaling.
  __device__ void make_weights(int token, Scores& s) {
    if (shapes_) shape(token, s);
    if (token + kTokens > common_end_ || token < common_first_) mask(token, s);
    constexpr float kSlack = 8;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float most = max_[i];
#pragma unroll
      for (int n = 0; n < kTokens / 8; ++n)
        most = fmaxf(most, fmaxf(s[4 * n + 2 * i], s[4 * n + 2 * i + 1]));
      most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 1));
      most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 2));
      rescale_[i] = 1;
      if ((most - max_[i]) * to_log2_ > kSlack) {
        rescale_[i] = fast_exp2((max_[i] - most) * to_log2_);
        sum_[i] *= rescale_[i];
        max_[i] = most;
      }
      const float base = max_[i] == -INFINITY ? 0.0f : max_[i] * to_log2_;
      float sum = 0;
#pragma unroll
      for (int n = 0; n < kTokens / 8; ++n) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          float& x = s[4 * n + 2 * i + c];
          x = fast_exp2(fmaf(x, to_log2_, -base));
          sum += x;
        }
      }
      sum_[i] += sum;
    }
  }
  __device__ void shape(int token, Scores& s) const {
#pragma unroll
    for (int j = 0; j < kTokens / 2; ++j) {
      const RowPlace& row = row_[j / 2 % 2];
      const int at = token + j / 4 * 8 + lane_ % 4 * 2 + j % 2;
      s[j] = rule_(s[j]) + row.slope * static_cast<float>(at - row.position);
    }
  }
  __device__ void mask(int token, Scores& s) const {
#pragma unroll
    for (int j = 0; j < kTokens / 2; ++j) {
      const RowPlace& row = row_[j / 2 % 2];
      const int at = token + j / 4 * 8 + lane_ % 4 * 2 + j % 2;
      if (at > row.position || at < row.first) s[j] = -INFINITY;
    }
  }
  __device__ void rescale() {
    if (!__any_sync(0xFFFFFFFFu, rescale_[0] != 1 || rescale_[1] != 1)) return;
#pragma unroll
    for (int j = 0; j < kWidth / 2; ++j) out_[j] *= rescale_[j / 2 % 2];
    rescale_[0] = rescale_[1] = 1;
  }
  __device__ void pack(const Scores& s) {
#pragma unroll
    for (int k = 0; k < kTokens / 16; ++k) {
#pragma unroll
      for (int e = 0; e < 4; ++e)
        weights_[k][e] = pack_pair<T>(s[8 * k + 2 * e], s[8 * k + 2 * e + 1]);
    }
  }

  // What a page holds behind the sequence's end may be NaN, which a weight of 0 would not hide. Each
  // warpgroup clears those rows for itself: that the other may do so too does no harm.
  __device__ void clear_values(int first, RingPlace<Layout<kWidth>::kStages> values) {
    barrier_wait(layout_.values_full(values.index), values.parity);
    const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
    for (int i = first * 8 + thread; i < kTokens * 8; i += kGroupThreads) {
      for (int part = 0; part < Layout<kWidth>::kParts; ++part) {
        const uint32_t at = layout_.values(values.index) +
                            static_cast<uint32_t>(part * Layout<kWidth>::kPartBytes + i * 16);
        asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" ::"r"(at), "r"(0) : "memory");
      }
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    sync_group(kGroupBarrier + group_, kGroupThreads);
  }

  __device__ void store() {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float sum = sum_[i];
      sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
      sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 2);
      const RowPlace& row = row_[i];
      if (!row.valid) continue;
      const float scale = normalization(max_[i] * to_log2_, sum,
                                        args_.sinks == nullptr ? nullptr : args_.sinks + row.head);
      T* to = static_cast<T*>(args_.out) + row.token * args_.out_stride +
              row.head * args_.head_dim + lane_ % 4 * 2;
#pragma unroll
      for (int n = 0; n < kWidth / 8; ++n) {
        if (n * 8 >= args_.head_dim) break;
        *reinterpret_cast<uint32_t*>(to + n * 8) =
            pack_pair<T>(out_[4 * n + 2 * i] * scale, out_[4 * n + 2 * i + 1] * scale);
      }
    }
  }

  // The weights are in their registers here, as pin_sums does.
  __device__ void pin_weights() {
#pragma unroll
    for (int k = 0; k < kTokens / 16; ++k) {
#pragma unroll
      for (int e = 0; e < 4; ++e) asm volatile("" : "+r"(weights_[k][e])::"memory");
    }
  }
  __device__ void release(uint32_t barrier) const {
    __syncwarp();
    if (lane_ == 0) barrier_arrive(barrier);
  }
  __device__ void take_turn() const { sync_group(kTurnBarrier + group_, kGroups * kGroupThreads); }
  __device__ void give_turn() const {
    asm volatile("barrier.cta.arrive %0, %1;" ::"r"(kTurnBarrier + (group_ + 1) % kGroups),
                 "r"(kGroups * kGroupThreads)
                 : "memory");
  }

  const AttentionLaunch& args_;
  Layout<kWidth> layout_;
  const WorkTile* slots_;
  ScoreRule rule_;
  bool shapes_;    // scores need more than a factor
  float to_log2_;  // that factor
  int group_, lane_;
  RingPlace<Layout<kWidth>::kStages> stage_;
  RingPlace<kTileSlots> slot_;

  RowPlace row_[2];
  int common_first_, common_end_;  // tokens that all rows of the warpgroup see
  uint32_t q_[kWidth / 16][4];
  uint32_t weights_[kTokens / 16][4];
  float out_[kWidth / 2];
  float max_[2], sum_[2], rescale_[2];  // max in units of s * to_log2_ / to_log2_
};

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 1)
    attention_sm90_kernel(const __grid_constant__ AttentionSm90Launch launch) {
#if __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) char memory[];
  const Layout<kWidth> layout{shared_address(memory)};
  WorkTile* slots = reinterpret_cast<WorkTile*>(memory + Layout<kWidth>::kTilesAt);
  if (threadIdx.x == 0) layout.init_barriers();
  __syncthreads();
  wait_for_previous();
  allow_next();
  if (threadIdx.x < kGroupThreads) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (threadIdx.x < 32) Copier<kWidth>(launch, layout, slots).run();
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    Multiplier<T, kWidth>(launch.args, layout, slots).run();
  }
#endif
}

template <class T, int kWidth>
cudaError_t launch_kernel(const AttentionSm90Launch& kernel_launch, cudaStream_t stream) {
  const auto kernel = attention_sm90_kernel<T, kWidth>;
  constexpr int kBytes = Layout<kWidth>::kBytes;
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (error != cudaSuccess) return error;
  const AttentionLaunch& args = kernel_launch.args;
  const int64_t tiles =
      (int64_t{args.tokens} * args.group / kRows + args.sequences) * args.kv_heads;
  const int blocks = tiles < args.multiprocessors ? static_cast<int>(tiles) : args.multiprocessors;
  return launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), kBytes, stream, true,
                kernel_launch);
}

template <class T>
cudaError_t launch_kernel(const AttentionSm90Launch& kernel_launch, cudaStream_t stream) {
  return kernel_launch.args.head_dim <= 64 ? launch_kernel<T, 64>(kernel_launch, stream)
                                           : launch_kernel<T, 128>(kernel_launch, stream);
}

}  // namespace lmdeploy::cuda::sm90
