// Attention over a latent cache (attention_latent.cu) on Hopper, of many rows: tiles of 64 rows, each
// over its whole context. One warp hands out tiles, one copies the queries of a tile and tiles of 64
// tokens. Two warpgroups have all 64 rows and half of the values' columns each: both make the
// scores, which costs half as many products again and spares them an exchange; one makes weights
// while the other's products run. A row's result depends on its own position alone.
#pragma once

#include "kernels/cuda/attention_sm90_tiles.cuh"
#include "kernels/cuda/attention_weights_sm90.cuh"
#include "kernels/cuda/attention_wgmma_sm90.cuh"
#include "kernels/cuda/launch.cuh"

namespace lmdeploy::cuda::sm90 {

constexpr int kLatentRows = 64, kLatentTokens = 64;

// Shared memory. Queries, and a stage of tokens: for each 64 columns, [64, 64], swizzled.
struct LatentLayout {
  static constexpr int kStages = 2;
  static constexpr int kParts = kMaxLatentHeadDim / 64;
  static constexpr int kPartBytes = 64 * 128;
  static constexpr int kTileBytes = kParts * kPartBytes;
  static constexpr int kBarriersAt = (kStages + 1) * kTileBytes;
  static constexpr int kBarriers = 2 * kStages + 4;
  static constexpr int kTileAt = kBarriersAt + kBarriers * 8;
  static constexpr int kBytes = kTileAt + static_cast<int>(sizeof(WorkTile));

  uint32_t base;

  __device__ uint32_t queries() const { return base; }
  __device__ uint32_t tokens(int stage) const { return base + (1 + stage) * kTileBytes; }
  __device__ uint32_t barrier(int i) const { return base + kBarriersAt + i * 8; }
  __device__ uint32_t full(int stage) const { return barrier(stage); }
  __device__ uint32_t empty(int stage) const { return barrier(kStages + stage); }
  __device__ uint32_t queries_full() const { return barrier(2 * kStages); }
  __device__ uint32_t queries_empty() const { return barrier(2 * kStages + 1); }
  __device__ uint32_t tile_full() const { return barrier(2 * kStages + 2); }
  __device__ uint32_t tile_empty() const { return barrier(2 * kStages + 3); }

  __device__ void init_barriers() const {
    constexpr int kReaders = kGroups * 4;  // warps
    for (int stage = 0; stage < kStages; ++stage) {
      barrier_init(full(stage), 1);
      barrier_init(empty(stage), kReaders);
    }
    barrier_init(queries_full(), 1);
    barrier_init(queries_empty(), kReaders);
    barrier_init(tile_full(), 1);
    barrier_init(tile_empty(), kGroups * kGroupThreads + 32);
    barrier_inits_done();
  }
};

// The copying warp.
class LatentCopier {
 public:
  __device__ LatentCopier(const AttentionSm90Launch& launch, LatentLayout layout,
                          const WorkTile* tile)
      : launch_(launch), args_(launch.args), layout_(layout), tiles_(layout, tile) {}

  __device__ void run() {
    for (uint32_t parity = 0;; parity ^= 1) {
      const WorkTile tile = tiles_.read();
      if (tile.place.queries == 0) return;
      copy_queries(tile, parity);
      // The next tile is asked for no sooner than needed: it may fall to a block that is done
      // earlier.
      const int start = tile.start(kLatentTokens), last = tile.last_start(kLatentTokens);
      const int ask_at = min(last, start + kLatentTokens);
      for (int token = last; token >= start; token -= kLatentTokens) {
        if (token == ask_at) tiles_.done();
        copy_tokens(tile, token);
      }
    }
  }

 private:
  static __device__ int lane() { return static_cast<int>(threadIdx.x) % 32; }

  __device__ void expect(uint32_t full, uint32_t empty, uint32_t parity) const {
    barrier_wait(empty, parity ^ 1);
    if (lane() == 0) barrier_expect(full, LatentLayout::kTileBytes);
    __syncwarp();
  }
  // Rows of one token are its heads.
  __device__ void copy_queries(const WorkTile& tile, uint32_t parity) const {
    expect(layout_.queries_full(), layout_.queries_empty(), parity);
    if (lane() >= LatentLayout::kParts) return;
    const int row = tile.place.first_query * args_.group + tile.first_row;
    copy_kv_box(layout_.queries() + lane() * LatentLayout::kPartBytes, &launch_.queries, lane() * 64,
                row, 0, 0, layout_.queries_full());
  }
  __device__ void copy_tokens(const WorkTile& tile, int token) {
    const int boxes = kLatentTokens / launch_.box_tokens;
    const int part = lane() / boxes, first = lane() % boxes * launch_.box_tokens;
    expect(layout_.full(stage_.index), layout_.empty(stage_.index), stage_.parity);
    if (part < LatentLayout::kParts) {
      int page = -1;  // reads as zeros
      if (token + first < tile.range.end) {
        page = args_.block_table[tile.place.sequence * args_.block_table_stride +
                                 ((token + first) >> args_.block_shift)];
      }
      copy_kv_box(layout_.tokens(stage_.index) +
                      static_cast<uint32_t>(part * LatentLayout::kPartBytes + first * 128),
                  &launch_.keys, part * 64, (token + first) & ((1 << args_.block_shift) - 1), 0,
                  page, layout_.full(stage_.index));
    }
    stage_.next();
  }

  const AttentionSm90Launch& launch_;
  const AttentionLaunch& args_;
  LatentLayout layout_;
  TileReader<LatentLayout> tiles_;
  RingPlace<LatentLayout::kStages> stage_;
};

// A warpgroup: all rows, and columns [group * 256, + 256) of the values.
template <class T>
class LatentMultiplier {
 public:
  __device__ LatentMultiplier(const AttentionLaunch& args, LatentLayout layout,
                              const WorkTile* tile)
      : args_(args),
        layout_(layout),
        tiles_(layout, tile),
        group_(static_cast<int>(threadIdx.x) / kGroupThreads - 1),
        lane_(static_cast<int>(threadIdx.x) % 32),
        weights_(args) {}

  __device__ void run() {
    for (uint32_t parity = 0;; parity ^= 1) {
      const WorkTile tile = tiles_.read();
      tiles_.done();
      if (tile.place.queries == 0) return;
      start(tile);
      barrier_wait(layout_.queries_full(), parity);
      attend(tile);
      store();
    }
  }

 private:
  static constexpr int kHalf = 128;  // columns of a product
  using Scores = float[kLatentTokens / 2];
  using Stage = RingPlace<LatentLayout::kStages>;

  __device__ void start(const WorkTile& tile) {
    const int first =
        tile.first_row + static_cast<int>(threadIdx.x) % kGroupThreads / 32 * 16 + lane_ / 4;
    for (int i = 0; i < 2; ++i) row_[i] = RowPlace(args_, tile.place, 0, first + 8 * i);
    weights_.start(args_, tile.place, tile.first_row, kLatentRows);
#pragma unroll
    for (int i = 0; i < kHalf / 2; ++i) low_[i] = high_[i] = 0;
  }

  // The products of the former weights with values run while the next scores wait for their turn.
  __device__ void attend(const WorkTile& tile) {
    Scores s;
    int former = -1;
    const int start = tile.start(kLatentTokens), last = tile.last_start(kLatentTokens);
    for (int token = last; token >= start; token -= kLatentTokens) {
      barrier_wait(layout_.full(stage_.index), stage_.parity);
      if (token + kLatentTokens > tile.place.kv_len) clear(tile.place.kv_len - token);
      multiply_keys(s);
      if (former >= 0) {
        wgmma_wait<1>();
        pin_sums(low_);
        pin_sums(high_);
        release(layout_.empty(former));
      }
      wgmma_wait<0>();
      pin_sums(s);
      if (token == start) release(layout_.queries_empty());
      weights_.make(token, row_, s);
      rescale();
      weights_.pack(s);
      multiply_values();
      former = stage_.index;
      stage_.next();
    }
    wgmma_wait<0>();
    pin_sums(low_);
    pin_sums(high_);
    release(layout_.empty(former));
  }

  __device__ void multiply_keys(Scores& s) {
    pin_sums(s);
    wgmma_begin();
    const uint64_t queries = wgmma_operand(layout_.queries());
    const uint64_t keys = wgmma_operand(layout_.tokens(stage_.index));
#pragma unroll
    for (int k = 0; k < kMaxLatentHeadDim / 16; ++k) {
      const int at = k / 4 * (LatentLayout::kPartBytes >> 4) + k % 4 * 2;
      wgmma<T, kLatentTokens>(s, queries + at, keys + at, k > 0);
    }
    wgmma_commit();
  }
  __device__ void multiply_values() {
    constexpr int kHalfBytes = kHalf / 64 * LatentLayout::kPartBytes;
    const uint32_t values = layout_.tokens(stage_.index) + group_ * 2 * kHalfBytes;
    const uint64_t low = wgmma_operand(values, LatentLayout::kPartBytes);
    const uint64_t high = wgmma_operand(values + kHalfBytes, LatentLayout::kPartBytes);
    pin_sums(low_);
    pin_sums(high_);
    weights_.pin();
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < kLatentTokens / 16; ++k) {
      wgmma<T, kHalf, WgmmaB::kValues>(low_, weights_.packed[k], low + k * 128, true);
      wgmma<T, kHalf, WgmmaB::kValues>(high_, weights_.packed[k], high + k * 128, true);
    }
    wgmma_commit();
  }

  __device__ void rescale() {
    if (!weights_.rescales()) return;
#pragma unroll
    for (int j = 0; j < kHalf / 2; ++j) {
      low_[j] *= weights_.rescale[j / 2 % 2];
      high_[j] *= weights_.rescale[j / 2 % 2];
    }
    weights_.rescaled();
  }

  // What a page holds behind the sequence's end may be NaN, which a weight of 0 would not hide.
  // Each warpgroup clears those rows for itself: that the other may do so too does no harm.
  __device__ void clear(int first) const {
    const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
    for (int i = first * 8 + thread; i < kLatentTokens * 8; i += kGroupThreads) {
      for (int part = 0; part < LatentLayout::kParts; ++part) {
        const uint32_t at = layout_.tokens(stage_.index) +
                            static_cast<uint32_t>(part * LatentLayout::kPartBytes + i * 16);
        asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" ::"r"(at), "r"(0) : "memory");
      }
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    sync_group(kGroupBarrier + group_, kGroupThreads);
  }

  __device__ void store() {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float scale = weights_.scale_of_row(i, nullptr);
      const RowPlace& row = row_[i];
      if (!row.valid) continue;
      T* to = static_cast<T*>(args_.out) + row.token * args_.out_stride +
              row.head * args_.head_dim + group_ * 2 * kHalf + lane_ % 4 * 2;
#pragma unroll
      for (int n = 0; n < kHalf / 8; ++n) {
        *reinterpret_cast<uint32_t*>(to + n * 8) =
            pack_pair<T>(low_[4 * n + 2 * i] * scale, low_[4 * n + 2 * i + 1] * scale);
        *reinterpret_cast<uint32_t*>(to + kHalf + n * 8) =
            pack_pair<T>(high_[4 * n + 2 * i] * scale, high_[4 * n + 2 * i + 1] * scale);
      }
    }
  }

  const AttentionLaunch& args_;
  LatentLayout layout_;
  TileReader<LatentLayout> tiles_;
  int group_, lane_;
  Stage stage_;
  RowPlace row_[2];
  RowWeights<T, kLatentTokens> weights_;
  float low_[kHalf / 2], high_[kHalf / 2];
};

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    attention_latent_sm90_kernel(const __grid_constant__ AttentionSm90Launch launch) {
#if __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) char memory[];
  const LatentLayout layout{shared_address(memory)};
  WorkTile* tile = reinterpret_cast<WorkTile*>(memory + LatentLayout::kTileAt);
  if (threadIdx.x == 0) layout.init_barriers();
  __syncthreads();
  wait_for_previous();
  allow_next();
  if (threadIdx.x < kGroupThreads) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (threadIdx.x < 32) LatentCopier(launch, layout, tile).run();
    if (threadIdx.x / 32 == 1) {
      TileWriter<LatentLayout, kLatentRows>(launch.args, layout, tile).run();
    }
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    LatentMultiplier<T>(launch.args, layout, tile).run();
  }
#endif
}

template <class T>
cudaError_t launch_latent(const AttentionSm90Launch& kernel_launch, cudaStream_t stream) {
  const auto kernel = attention_latent_sm90_kernel<T>;
  const cudaError_t error = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, LatentLayout::kBytes);
  if (error != cudaSuccess) return error;
  const AttentionLaunch& args = kernel_launch.args;
  const int64_t tiles = int64_t{args.tokens} * args.group / kLatentRows + args.sequences;
  const int blocks = tiles < args.multiprocessors ? static_cast<int>(tiles) : args.multiprocessors;
  return launch(kernel, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), LatentLayout::kBytes,
                stream, true, kernel_launch);
}

}  // namespace lmdeploy::cuda::sm90
