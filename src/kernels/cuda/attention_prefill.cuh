// Attention of tiles of 64 rows by mma.sync, for any card that has it. Each warp keeps 16 rows; a
// tile of K and V is computed while the next is copied. Tiles of tokens lie at multiples of 64, and
// those that a row does not see leave its bits alone: so a row's result depends on its own position
// alone, not on the batch, nor on how its prompt was cut.
#pragma once

#include "kernels/cuda/attention_rows.cuh"
#include "kernels/cuda/launch.cuh"

namespace lmdeploy::cuda {

namespace prefill {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * 32;
constexpr int kRows = kWarps * 16;
constexpr int kTokens = 64;
constexpr int kStages = 2;

template <int kWidth>
constexpr int kTileBytes = kTokens* kWidth * 2;  // of K or V
template <int kWidth>
constexpr int kSharedBytes = kStages * 2 * kTileBytes<kWidth>;

// Copies 64 tokens of K and V from `token` on. Those outside of `range` become zeros.
template <class T, int kWidth>
__device__ __forceinline__ void copy_tile(const AttentionLaunch& args, int sequence, int kv_head,
                                          TokenRange range, int token, uint32_t to) {
  constexpr int kChunks = kWidth / 8;
  constexpr int kRowsAtOnce = kThreads / kChunks;
  const int thread = static_cast<int>(threadIdx.x);
  const int chunk = thread % kChunks;
#pragma unroll
  for (int half = 0; half < 2; ++half) {  // a page has at least 32 tokens
    const int start = token + half * (kTokens / 2);
    const bool any = start < range.end && start + kTokens / 2 > range.first;
    const T* keys = static_cast<const T*>(args.q);  // any address: nothing is read
    if (any) keys = key_row<T>(args, sequence, kv_head, start);
    const T* values = any ? keys + args.kv_heads * (args.head_bytes / sizeof(T)) : keys;
#pragma unroll
    for (int r = 0; r < kTokens / 2; r += kRowsAtOnce) {
      const int row = r + thread / kChunks;
      const bool read =
          start + row < range.end && start + row >= range.first && chunk * 8 < args.head_dim;
      const int64_t from = read ? int64_t{row} * args.head_dim + chunk * 8 : 0;
      const uint32_t at = to + tile_offset<kWidth>(half * (kTokens / 2) + row, chunk);
      copy_async(at, keys + from, read);
      copy_async(at + kTileBytes<kWidth>, values + from, read);
    }
  }
}

template <class T, int kWidth>
__device__ void store_rows(const AttentionLaunch& args, const WarpRows<T, kWidth>& rows) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const RowPlace& place = rows.row[i];
    const float sum = rows.whole_sum(i);
    if (!place.valid) continue;
    const float scale =
        normalization(rows.max[i], sum, args.sinks == nullptr ? nullptr : args.sinks + place.head);
    T* to = static_cast<T*>(args.out) + place.token * args.out_stride + place.head * args.head_dim +
            threadIdx.x % 4 * 2;
#pragma unroll
    for (int n = 0; n < kWidth / 8; ++n) {
      if (n * 8 >= args.head_dim) break;
      *reinterpret_cast<uint32_t*>(to + n * 8) =
          pack_pair<T>(rows.out[n][2 * i] * scale, rows.out[n][2 * i + 1] * scale);
    }
  }
}

// The block's rows over their tokens, a tile of 64 after the other.
template <class T, int kWidth>
__device__ void attend_range(const AttentionLaunch& args, const SequencePlace& place, int kv_head,
                             TokenRange range, TokenRange warp_sees, bool warp_has_rows,
                             uint32_t memory, WarpRows<T, kWidth>& rows) {
  // Wide heads attend to half a tile at a time, for want of registers.
  constexpr int kStep = kWidth > 128 ? kTokens / 2 : kTokens;
  const ScoreRule rule(args);
  const int start = range.first / kTokens * kTokens;
  const auto stage = [&](int token) {
    return memory +
           static_cast<uint32_t>((token - start) / kTokens % kStages * 2 * kTileBytes<kWidth>);
  };
  const auto copy = [&](int token) {
    if (token < range.end)
      copy_tile<T, kWidth>(args, place.sequence, kv_head, range, token, stage(token));
    commit_copies();
  };
  copy(start);
  for (int token = start; token < range.end; token += kTokens) {
    copy(token + kTokens);
    wait_copies<1>();
    __syncthreads();
    for (int step = token; step < token + kTokens; step += kStep) {
      if (!warp_has_rows || step >= warp_sees.end || step + kStep <= warp_sees.first) continue;
      const bool masked = step + kStep > warp_sees.common_end || step < warp_sees.common_first;
      const uint32_t keys = stage(token) + static_cast<uint32_t>((step - token) * kWidth * 2);
      rows.template attend<kStep>(rule, keys, keys + kTileBytes<kWidth>, step, masked);
    }
    __syncthreads();
  }
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, kWidth <= 128 ? 2 : 1)
    attention_prefill_kernel(const __grid_constant__ AttentionLaunch args) {
  extern __shared__ __align__(128) char memory[];
  wait_for_previous();
  allow_next();
  const int kv_head = static_cast<int>(blockIdx.x) % args.kv_heads;
  const RowTile tile = find_tile<kRows>(args, static_cast<int>(blockIdx.x) / args.kv_heads);
  const SequencePlace& place = tile.place;
  if (place.queries == 0) return;
  const int warp_row = tile.first_row + static_cast<int>(threadIdx.x) / 32 * 16;
  const TokenRange range = range_of(args, place, tile.first_row, kRows);
  const TokenRange warp_sees = range_of(args, place, warp_row, 16);
  WarpRows<T, kWidth> rows;
  rows.start(args, place, kv_head, warp_row);
  attend_range<T, kWidth>(args, place, kv_head, range, warp_sees,
                          warp_row < place.queries * args.group, shared_address(memory), rows);
  store_rows(args, rows);
}

template <class T, int kWidth>
cudaError_t launch_prefill(const AttentionLaunch& args, cudaStream_t stream) {
  const auto kernel = attention_prefill_kernel<T, kWidth>;
  const cudaError_t error = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes<kWidth>);
  if (error != cudaSuccess) return error;
  // At most one tile of each sequence is not full.
  const int64_t tiles = int64_t{args.tokens} * args.group / kRows + args.sequences;
  return launch(kernel, dim3(static_cast<unsigned>(tiles * args.kv_heads)), dim3(kThreads),
                kSharedBytes<kWidth>, stream, true, args);
}

template <class T>
cudaError_t launch_prefill(const AttentionLaunch& args, cudaStream_t stream) {
  if (args.head_dim <= 64) return launch_prefill<T, 64>(args, stream);
  if (args.head_dim <= 128) return launch_prefill<T, 128>(args, stream);
  return launch_prefill<T, 256>(args, stream);
}

}  // namespace prefill

}  // namespace lmdeploy::cuda
