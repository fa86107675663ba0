// Attention of tiles of 128 rows on Hopper. One warp hands out tiles, one copies tiles of K and V
// from the pages, two warpgroups multiply them, 64 rows each. A warpgroup's products run
// asynchronously: those of the next scores are issued before those of the present weights with V,
// and it makes weights of the next scores while the latter run; the two warpgroups take turns, so
// that one makes weights while the other's products keep the tensor cores busy (FlashAttention-3,
// arXiv 2407.08608). Blocks stay; tiles of rows are handed out by a counter, the longest first, and
// the copies run ahead over the ends of tiles. Tiles of tokens lie at multiples of their size and are
// walked in one order, and those that a row does not see leave its bits alone: a row's result
// depends on its own position alone.
#pragma once

#include "kernels/cuda/attention_sm90_tiles.cuh"
#include "kernels/cuda/attention_weights_sm90.cuh"
#include "kernels/cuda/attention_wgmma_sm90.cuh"
#include "kernels/cuda/launch.cuh"

namespace lmdeploy::cuda::sm90 {

// 64 rows of a warpgroup; each of its warps has 16, a lane two of them.
template <class T, class S>
class Multiplier {
 public:
  __device__ Multiplier(const AttentionSm90Launch& launch, Layout<S> layout, const WorkTile* tile)
      : args_(launch.args),
        expanded_(launch.expanded),
        layout_(layout),
        tiles_(layout, tile),
        weights_(launch.args),
        group_(static_cast<int>(threadIdx.x) / kGroupThreads - 1),
        lane_(static_cast<int>(threadIdx.x) % 32) {
    if (group_ == kGroups - 1) give_turn();  // to the first
  }

  __device__ void run() {
    WorkTile tile = next_tile(row_);
    while (tile.place.queries > 0) {
      RowPlace next_row[2];
      tile = row_of_group(tile) < tile.place.queries * args_.group ? attend(tile, next_row)
                                                                   : pass(tile, next_row);
      row_[0] = next_row[0];
      row_[1] = next_row[1];
    }
  }

 private:
  static constexpr int kTokens = S::kTokens, kValueColumns = S::kValueColumns;
  using Scores = float[kTokens / 2];
  using Stage = RingPlace<Layout<S>::kStages>;

  __device__ int row_of_group(const WorkTile& tile) const {
    return tile.first_row + group_ * kGroupRows;
  }

  // Computes a tile and stores its rows. Returns the next, whose q is on its way.
  __device__ WorkTile attend(const WorkTile& tile, RowPlace (&next_row)[2]) {
    start(tile);
    Scores s;
    const int first = tile.start(kTokens);
    int token = tile.last_start(kTokens);
    Stage values = stage_;
    barrier_wait(layout_.keys_full(stage_.index), stage_.parity);
    multiply_keys(s);
    wgmma_wait<0>();
    pin_sums(s);
    release(layout_.keys_empty(stage_.index));
    stage_.next();
    weights_.make(token, row_, s);
    weights_.pack(s);
    if (token + kTokens > tile.place.kv_len) clear_values(tile.place.kv_len - token, values);
    for (token -= kTokens; token >= first; token -= kTokens) {
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
      weights_.make(token, row_, s);
      wgmma_wait<0>();
      pin_sums(out_);
      pin_sums(s);
      release(layout_.values_empty(values.index));
      values.next();
      rescale();
      weights_.pack(s);
    }
    barrier_wait(layout_.values_full(values.index), values.parity);
    multiply_values(values.index);
    const WorkTile next = next_tile(next_row);
    wgmma_wait<0>();
    pin_sums(out_);
    release(layout_.values_empty(values.index));
    store();
    return next;
  }

  // The same for a tile in which this warpgroup has no rows.
  __device__ WorkTile pass(const WorkTile& tile, RowPlace (&next_row)[2]) {
    const int start = tile.start(kTokens), last_start = tile.last_start(kTokens);
    for (int token = last_start; token >= start; token -= kTokens) {
      barrier_wait(layout_.keys_full(stage_.index), stage_.parity);
      if (token < last_start) {
        take_turn();
        give_turn();
      }
      release(layout_.keys_empty(stage_.index));
      barrier_wait(layout_.values_full(stage_.index), stage_.parity);
      release(layout_.values_empty(stage_.index));
      stage_.next();
    }
    return next_tile(next_row);
  }

  // The next tile, its rows, and their q into q_.
  __device__ WorkTile next_tile(RowPlace (&row)[2]) {
    const WorkTile tile = tiles_.read();
    tiles_.done();
    if (tile.place.queries == 0) return tile;
    const int first =
        row_of_group(tile) + static_cast<int>(threadIdx.x) % kGroupThreads / 32 * 16 + lane_ / 4;
    for (int i = 0; i < 2; ++i) row[i] = RowPlace(args_, tile.place, tile.kv_head, first + 8 * i);
    load_queries(row);
    return tile;
  }

  __device__ void load_queries(const RowPlace (&row)[2]) {
    const QueryColumns<T> columns{static_cast<const T*>(args_.q), args_.q_stride, args_.head_dim};
    if constexpr (S::kExpanded) {
      columns.template load<0, kExpandedColumns>(row, kExpandedColumns, q_);
      const QueryColumns<T> rope{static_cast<const T*>(expanded_.q_rope), expanded_.q_rope_stride,
                                 expanded_.q_rope_step};
      rope.template load<kExpandedColumns, kExpandedRope>(row, kExpandedRope, q_);
    } else {
      columns.template load<0, S::kKeyColumns>(row, args_.head_dim, q_);
    }
  }

  __device__ void start(const WorkTile& tile) {
    weights_.start(args_, tile.place, row_of_group(tile), kGroupRows);
#pragma unroll
    for (int i = 0; i < kValueColumns / 2; ++i) out_[i] = 0;
  }

  __device__ void multiply_keys(Scores& s) {
    const uint64_t keys = wgmma_operand(layout_.keys(stage_.index));
    pin_sums(s);
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < S::kKeyColumns / 16; ++k) {
      const int at = k / 4 * (Layout<S>::kPartBytes >> 4) + k % 4 * 2;
      wgmma<T, kTokens, WgmmaB::kKeys>(s, q_[k], keys + at, k > 0);
    }
    wgmma_commit();
  }
  __device__ void multiply_values(int stage) {
    const uint64_t values = wgmma_operand(layout_.values(stage), Layout<S>::kPartBytes);
    pin_sums(out_);
    weights_.pin();
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < kTokens / 16; ++k)
      wgmma<T, kValueColumns, WgmmaB::kValues>(out_, weights_.packed[k], values + k * 128, true);
    wgmma_commit();
  }

  __device__ void rescale() {
    if (!weights_.rescales()) return;
#pragma unroll
    for (int j = 0; j < kValueColumns / 2; ++j) out_[j] *= weights_.rescale[j / 2 % 2];
    weights_.rescaled();
  }
  // What a page holds behind the sequence's end may be NaN, which a weight of 0 would not hide.
  // Each warpgroup clears those rows for itself: that the other may do so too does no harm.
  __device__ void clear_values(int first, Stage values) {
    barrier_wait(layout_.values_full(values.index), values.parity);
    const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
    for (int i = first * 8 + thread; i < kTokens * 8; i += kGroupThreads) {
      for (int part = 0; part < Layout<S>::kValueParts; ++part) {
        const uint32_t at = layout_.values(values.index) +
                            static_cast<uint32_t>(part * Layout<S>::kPartBytes + i * 16);
        asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" ::"r"(at), "r"(0) : "memory");
      }
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    sync_group(kGroupBarrier + group_, kGroupThreads);
  }

  __device__ void store() {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const RowPlace& row = row_[i];
      const float* sink = args_.sinks == nullptr ? nullptr : args_.sinks + row.head;
      const float scale = weights_.scale_of_row(i, sink);
      if (!row.valid) continue;
      T* to = static_cast<T*>(args_.out) + row.token * args_.out_stride +
              row.head * args_.head_dim + lane_ % 4 * 2;
#pragma unroll
      for (int n = 0; n < kValueColumns / 8; ++n) {
        if (n * 8 >= args_.head_dim) break;
        *reinterpret_cast<uint32_t*>(to + n * 8) =
            pack_pair<T>(out_[4 * n + 2 * i] * scale, out_[4 * n + 2 * i + 1] * scale);
      }
    }
  }

  __device__ void take_turn() const { sync_group(kTurnBarrier + group_, kGroups * kGroupThreads); }
  __device__ void give_turn() const {
    asm volatile("barrier.cta.arrive %0, %1;" ::"r"(kTurnBarrier + (group_ + 1) % kGroups),
                 "r"(kGroups * kGroupThreads)
                 : "memory");
  }

  const AttentionLaunch& args_;
  const ExpandedLaunch& expanded_;
  Layout<S> layout_;
  TileReader<Layout<S>> tiles_;
  int group_, lane_;
  Stage stage_;

  RowPlace row_[2];
  RowWeights<T, kTokens> weights_;
  uint32_t q_[S::kKeyColumns / 16][4];
  float out_[kValueColumns / 2];
};

template <class T, class S>
__global__ void __launch_bounds__(kThreads, 1)
    attention_sm90_kernel(const __grid_constant__ AttentionSm90Launch launch) {
#if __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) char memory[];
  const Layout<S> layout{shared_address(memory)};
  WorkTile* tile = reinterpret_cast<WorkTile*>(memory + Layout<S>::kTileAt);
  if (threadIdx.x == 0) layout.init_barriers();
  __syncthreads();
  wait_for_previous();
  allow_next();
  if (threadIdx.x < kGroupThreads) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (threadIdx.x < 32) Copier<S>(launch, layout, tile).run();
    if (threadIdx.x / 32 == 1) TileWriter<Layout<S>, kRows>(launch.args, layout, tile).run();
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    Multiplier<T, S>(launch, layout, tile).run();
  }
#endif
}

template <class T, class S>
cudaError_t launch_kernel(const AttentionSm90Launch& kernel_launch, cudaStream_t stream) {
  const auto kernel = attention_sm90_kernel<T, S>;
  constexpr int kBytes = Layout<S>::kBytes;
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
  return kernel_launch.args.head_dim <= 64 ? launch_kernel<T, NarrowHeads>(kernel_launch, stream)
                                           : launch_kernel<T, WideHeads>(kernel_launch, stream);
}

}  // namespace lmdeploy::cuda::sm90
