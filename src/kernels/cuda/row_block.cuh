// Norms of rows that one block holds in registers: how a row is dealt to the block's threads, sums
// over the block, and the block's shape.
#pragma once

#include "kernels/cuda/row_vector.cuh"

namespace lmdeploy::cuda {

// Sum over the block; every thread gets it. The order depends on the block's size alone.
__device__ inline float block_sum(float x) {
  __shared__ float warps[32];
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, offset);
  __syncthreads();  // warps[] of an earlier call has been read
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
  __syncthreads();
  x = threadIdx.x % 32 < blockDim.x / 32 ? warps[threadIdx.x % 32] : 0.0f;
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, offset);
  return x;
}

// fn(step, first element) for the kSteps vectors of kSize elements that this thread has of a row.
template <int kSize, int kSteps, class Fn>
__device__ __forceinline__ void each_vector(int row_size, Fn&& fn) {
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const int begin = (step * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)) * kSize;
    if (begin < row_size) fn(step, begin);
  }
}

// kSize weights, in accesses of up to 16 bytes.
template <int kSize>
__device__ __forceinline__ void load_weights(const float* from, float (&weights)[kSize]) {
  constexpr int kAtOnce = kSize < 4 ? kSize : 4;
#pragma unroll
  for (int i = 0; i < kSize; i += kAtOnce) {
    const RowVector<float, kAtOnce> part = load_vector<kAtOnce>(from + i);
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) weights[i + j] = part.elements[j];
  }
}

// Two vectors a thread up to 1024 vectors; four, in 16-bit types, up to 2048.
template <int kSize, int kSteps>
constexpr int kMaxThreads = kSteps == 2 || kSize == 8 ? 512 : 1024;

inline int threads_for(int row_size, int vector_size, int steps) {
  const int vectors = (row_size + vector_size - 1) / vector_size;
  return ((vectors + steps - 1) / steps + 31) / 32 * 32;
}

template <int kSize, int kSteps>
struct BlockShape {
  static constexpr int kVector = kSize, kVectors = kSteps;
};

// Calls fn(BlockShape) with the shape for rows of up to 16384 elements. It depends on the size (and on
// `wide`: whether all rows are aligned vectors of kWide) alone, so that a row's result does not
// depend on how many rows there are.
template <int kWide, class Fn>
cudaError_t for_block_shape(int row_size, bool wide, Fn&& fn) {
  if (!wide) return row_size <= 4096 ? fn(BlockShape<1, 4>()) : fn(BlockShape<1, 16>());
  const int vectors = row_size / kWide;
  if (vectors <= 128) return fn(BlockShape<kWide, 1>());
  return vectors <= 1024 ? fn(BlockShape<kWide, 2>()) : fn(BlockShape<kWide, 4>());
}

}  // namespace lmdeploy::cuda
