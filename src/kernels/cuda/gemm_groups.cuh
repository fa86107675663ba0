// Which group a tile of a grouped product is of, and what a head of a product a head is.
#pragma once

#include "kernels/cuda/matmul_launch.h"

namespace lmdeploy::cuda {

// tile < totals[0].
__device__ __forceinline__ GemmGroup group_of(const GemmGroups& groups, int tile) {
  int low = 0, high = groups.totals[1];  // the group is in [low, high)
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (groups.groups[middle].tiles_before <= tile) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return groups.groups[low];
}

// `output` for the rows of one group.
__device__ __forceinline__ GemmOutput output_of_group(GemmOutput output, int matrix, int row_end) {
  output.rows = row_end;
  if (output.bias != nullptr) output.bias += int64_t{matrix} * output.n;
  return output;
}

// `output` for one head.
__device__ __forceinline__ GemmOutput output_of_head(GemmOutput output, const GemmHeads& heads,
                                                     int head) {
  output.out = static_cast<char*>(output.out) + head * heads.out_step * (output.f32 ? 4 : 2);
  return output;
}

// Of the portable kernels' blocks blockIdx.z: what they multiply.
template <class T>
__device__ __forceinline__ void move_to_head(const GemmLaunch& gemm, GemmOutput& output,
                                             const T*& weights, const T*& x) {
  const int head = static_cast<int>(blockIdx.z);
  output = output_of_head(output, gemm.heads, head);
  weights += head * gemm.k * output.n;
  x += head * gemm.heads.x_step;
}

// Of the portable kernels' block blockIdx.y: where its tile begins, and what it multiplies. False:
// there is no such tile.
template <class T>
__device__ __forceinline__ bool move_to_group(const GemmLaunch& gemm, GemmOutput& output,
                                              const T*& weights, int64_t& t0) {
  const int tile = static_cast<int>(blockIdx.y);
  if (tile >= gemm.groups.totals[0]) return false;
  const GemmGroup group = group_of(gemm.groups, tile);
  t0 = group.row_begin + int64_t{tile - group.tiles_before} * gemm.groups.tile_t;
  output = output_of_group(gemm.output, group.matrix, group.row_end);
  weights += group.matrix * gemm.k * gemm.output.n;
  return true;
}

// Their blocks along y.
inline unsigned tiles_of_rows(const GemmLaunch& gemm, int tile_t) {
  if (gemm.groups.groups != nullptr) return static_cast<unsigned>(gemm.groups.most_tiles);
  return static_cast<unsigned>((gemm.output.rows + tile_t - 1) / tile_t);
}

}  // namespace lmdeploy::cuda
