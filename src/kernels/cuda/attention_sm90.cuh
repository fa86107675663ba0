// Attention of tiles of 128 rows on Hopper. One warp hands out tiles, one copies tiles of K and V
// from the pages, two warpgroups multiply them, 64 rows each. A warpgroup's products run
// asynchronously: those of the next scores are issued before those of the present weights with V,
// and it makes weights of the next scores while the latter run; the two warpgroups take turns, so
// that one makes weights while the other's products keep the tensor cores busy (FlashAttention-3,
// arXiv 2407.08608). Blocks stay; tiles of rows are handed out by a counter, the longest first, and
// the copies run ahead over the ends of tiles. Tiles of tokens lie at multiples of 128 and are
// walked in one order, and those that a row does not see leave its bits alone: a row's result
// depends on its own position alone.
#pragma once

#include "kernels/cuda/attention_sm90_tiles.cuh"
#include "kernels/cuda/attention_wgmma_sm90.cuh"
#include "kernels/cuda/launch.cuh"

namespace lmdeploy::cuda::sm90 {

// 64 rows of a warpgroup; each of its warps has 16, a lane two of them.
template <class T, int kWidth>
class Multiplier {
 public:
  __device__ Multiplier(const AttentionLaunch& args, Layout<kWidth> layout, const WorkTile* tile)
      : args_(args),
        layout_(layout),
        tiles_(layout, tile),
        rule_(args),
        group_(static_cast<int>(threadIdx.x) / kGroupThreads - 1),
        lane_(static_cast<int>(threadIdx.x) % 32) {
    shapes_ = args.softcap > 0 || args.alibi_slopes != nullptr || args.scale <= 0;
    to_log2_ = shapes_ ? 1.0f : kLog2E * args.scale;
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
  using Scores = float[kTokens / 2];
  using Stage = RingPlace<Layout<kWidth>::kStages>;

  __device__ int row_of_group(const WorkTile& tile) const {
    return tile.first_row + group_ * kGroupRows;
  }

  // Computes a tile and stores its rows. Returns the next, whose q is on its way.
  __device__ WorkTile attend(const WorkTile& tile, RowPlace (&next_row)[2]) {
    start(tile);
    Scores s;
    int token = tile.last_start();
    Stage values = stage_;
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
    for (int token = tile.last_start(); token >= tile.start(); token -= kTokens) {
      barrier_wait(layout_.keys_full(stage_.index), stage_.parity);
      if (token < tile.last_start()) {
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
    load_queries<T, kWidth>(args_, row, q_);
    return tile;
  }

  __device__ void start(const WorkTile& tile) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      max_[i] = -INFINITY;
      sum_[i] = 0;
      rescale_[i] = 1;
    }
    const TokenRange range = range_of(args_, tile.place, row_of_group(tile), kGroupRows);
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
    const uint64_t values = wgmma_operand(layout_.values(stage), Layout<kWidth>::kPartBytes);
    pin_sums(out_);
    pin_weights();
    wgmma_begin();
#pragma unroll
    for (int k = 0; k < kTokens / 16; ++k)
      wgmma<T, kWidth, WgmmaB::kValues>(out_, weights_[k], values + k * 128, true);
    wgmma_commit();
  }

  // Scores of tokens from `token` on to weights relative to a maximum. That stays behind the true
  // one by up to 2^kSlack, which fp32 and the 16-bit weights bear, so that sums rarely need
  // rescaling.
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

  // What a page holds behind the sequence's end may be NaN, which a weight of 0 would not hide.
  // Each warpgroup clears those rows for itself: that the other may do so too does no harm.
  __device__ void clear_values(int first, Stage values) {
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
  __device__ void take_turn() const { sync_group(kTurnBarrier + group_, kGroups * kGroupThreads); }
  __device__ void give_turn() const {
    asm volatile("barrier.cta.arrive %0, %1;" ::"r"(kTurnBarrier + (group_ + 1) % kGroups),
                 "r"(kGroups * kGroupThreads)
                 : "memory");
  }

  const AttentionLaunch& args_;
  Layout<kWidth> layout_;
  TileReader<kWidth> tiles_;
  ScoreRule rule_;
  bool shapes_;    // scores need more than a factor
  float to_log2_;  // that factor
  int group_, lane_;
  Stage stage_;

  RowPlace row_[2];
  int common_first_, common_end_;  // tokens that all rows of the warpgroup see
  uint32_t q_[kWidth / 16][4];
  uint32_t weights_[kTokens / 16][4];
  float out_[kWidth / 2];
  float max_[2], sum_[2], rescale_[2];
};

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 1)
    attention_sm90_kernel(const __grid_constant__ AttentionSm90Launch launch) {
#if __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) char memory[];
  const Layout<kWidth> layout{shared_address(memory)};
  WorkTile* tile = reinterpret_cast<WorkTile*>(memory + Layout<kWidth>::kTileAt);
  if (threadIdx.x == 0) layout.init_barriers();
  __syncthreads();
  wait_for_previous();
  allow_next();
  if (threadIdx.x < kGroupThreads) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (threadIdx.x < 32) Copier<kWidth>(launch, layout, tile).run();
    if (threadIdx.x / 32 == 1) TileWriter<kWidth>(launch.args, layout, tile).run();
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    Multiplier<T, kWidth>(launch.args, layout, tile).run();
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
