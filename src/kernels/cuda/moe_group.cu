#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/moe_mlp_launch.h"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

// Sums over the experts before a block's own.
struct Before {
  int rows = 0, tiles = 0, groups = 0;
};

__device__ Before before_expert(const MoeGroupLaunch& group, const int* counts, int expert) {
  __shared__ int sums[3];
  if (threadIdx.x < 3) sums[threadIdx.x] = 0;
  __syncthreads();
  Before mine;
  for (int e = threadIdx.x; e < expert; e += kThreads) {
    mine.rows += counts[e];
    mine.tiles += (counts[e] + group.tile_t - 1) / group.tile_t;
    mine.groups += counts[e] > 0 ? 1 : 0;
  }
  atomicAdd(&sums[0], mine.rows);
  atomicAdd(&sums[1], mine.tiles);
  atomicAdd(&sums[2], mine.groups);
  __syncthreads();
  return {sums[0], sums[1], sums[2]};
}

// The pairs of `expert` in their order, from row `first` on.
__device__ void place_pairs(const MoeGroupLaunch& group, int expert, int first) {
  __shared__ int warp_counts[kWarps];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  for (int begin = 0; begin < group.pairs; begin += kThreads) {
    const int pair = begin + static_cast<int>(threadIdx.x);
    const bool mine = pair < group.pairs && group.ids[pair] == expert;
    const unsigned lanes = __ballot_sync(0xffffffffu, mine);
    if (lane == 0) warp_counts[warp] = __popc(lanes);
    __syncthreads();
    int row = first + __popc(lanes & ((1u << lane) - 1));
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) row += warp_counts[w];
      first += warp_counts[w];
    }
    if (mine) {
      group.tokens[row] = pair / group.top_k;
      group.places[pair] = row;
    }
    __syncthreads();
  }
}

// A block an expert; each counts all pairs, which is cheaper than asking the others.
__global__ void __launch_bounds__(kThreads)
    moe_group_kernel(const __grid_constant__ MoeGroupLaunch group) {
  extern __shared__ int counts[];
  const int expert = static_cast<int>(blockIdx.x);
  for (int e = threadIdx.x; e < group.experts; e += kThreads) counts[e] = 0;
  __syncthreads();
  wait_for_previous();
  allow_next();
  for (int pair = threadIdx.x; pair < group.pairs; pair += kThreads) {
    atomicAdd(&counts[group.ids[pair]], 1);
  }
  __syncthreads();
  const Before before = before_expert(group, counts, expert);
  const int count = counts[expert];
  if (threadIdx.x == 0) {
    if (count > 0) {
      group.groups[before.groups] = {expert, before.rows, before.rows + count, before.tiles};
    }
    if (expert == group.experts - 1) {
      group.totals[0] = before.tiles + (count + group.tile_t - 1) / group.tile_t;
      group.totals[1] = before.groups + (count > 0 ? 1 : 0);
    }
  }
  if (count > 0) place_pairs(group, expert, before.rows);
}

}  // namespace

cudaError_t launch_moe_group(const MoeGroupLaunch& group, cudaStream_t stream) {
  return launch(moe_group_kernel, dim3(static_cast<unsigned>(group.experts)), dim3(kThreads),
                static_cast<size_t>(group.experts) * sizeof(int), stream, true, group);
}

}  // namespace lmdeploy::cuda
