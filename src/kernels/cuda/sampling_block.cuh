// Reductions and scans over the block of threads that works on one row. Sums are taken in a fixed
// order. Every thread of the block calls them.
#pragma once

#include <cstdint>

namespace lmdeploy::cuda {

constexpr int kRowThreads = 512;
constexpr int kRowWarps = kRowThreads / 32;
constexpr uint32_t kAllLanes = 0xFFFFFFFFu;

__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x) % 32; }
__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x) / 32; }

struct Plus {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};
struct Smaller {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b ? a : b;
  }
};

template <class Op, class T>
__device__ T warp_reduce(T x, Op op = {}) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) x = op(x, __shfl_xor_sync(kAllLanes, x, offset));
  return x;
}

// Over the block; every thread gets it.
template <class Op, class T>
__device__ T block_reduce(T x, Op op = {}) {
  __shared__ T partial[kRowWarps];
  x = warp_reduce<Op>(x);
  __syncthreads();  // an earlier call's have been read
  if (lane_index() == 0) partial[warp_index()] = x;
  __syncthreads();
  x = partial[lane_index() % kRowWarps];
#pragma unroll
  for (int offset = kRowWarps / 2; offset > 0; offset /= 2) {
    x = op(x, __shfl_xor_sync(kAllLanes, x, offset));
  }
  return x;
}

template <class T>
__device__ T warp_inclusive_sum(T x) {
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const T before = __shfl_up_sync(kAllLanes, x, offset);
    if (lane_index() >= offset) x += before;
  }
  return x;
}

// The sum of the threads before this one, and of all.
template <class T>
struct Prefix {
  T before, total;
};

template <class T>
__device__ Prefix<T> block_prefix(T x) {
  __shared__ T totals[kRowWarps];
  const T inclusive = warp_inclusive_sum(x);
  T before = __shfl_up_sync(kAllLanes, inclusive, 1);
  if (lane_index() == 0) before = 0;
  __syncthreads();  // an earlier call's have been read
  if (lane_index() == 31) totals[warp_index()] = inclusive;
  __syncthreads();
  T warps_before = 0, total = 0;
#pragma unroll
  for (int w = 0; w < kRowWarps; ++w) {
    if (w == warp_index()) warps_before = total;
    total += totals[w];
  }
  return {warps_before + before, total};
}

// Lists up to here are worked on by a thread an entry that looks at all the others: quicker than
// the barriers of a scan or of a sorting network.
constexpr int kShortList = 256;

// Sorts list[0, count) in place, largest first; count at most kShortList, no two equal.
__device__ inline void sort_short(uint64_t* list, int count) {
  const int i = static_cast<int>(threadIdx.x);
  const uint64_t mine = i < count ? list[i] : 0;
  int larger = 0;
  if (i < count) {
#pragma unroll 4
    for (int j = 0; j < count; ++j) larger += list[j] > mine;
  }
  __syncthreads();
  if (i < count) list[larger] = mine;
  __syncthreads();
}

// Sorts list[0, count) in place, largest first; count at most a power of two that the list's memory
// holds.
__device__ inline void sort_descending(uint64_t* list, int count) {
  int size = 2;
  while (size < count) size *= 2;
  for (int i = count + static_cast<int>(threadIdx.x); i < size; i += kRowThreads) list[i] = 0;
  __syncthreads();
  for (int run = 2; run <= size; run *= 2) {
    for (int half = run / 2; half > 0; half /= 2) {
      for (int t = static_cast<int>(threadIdx.x); t < size / 2; t += kRowThreads) {
        const int i = (t & ~(half - 1)) * 2 + (t & (half - 1));
        const uint64_t a = list[i], b = list[i + half];
        if ((i & run) == 0 ? a < b : a > b) {
          list[i] = b;
          list[i + half] = a;
        }
      }
      __syncthreads();
    }
  }
}

}  // namespace lmdeploy::cuda
