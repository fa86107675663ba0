// The tiles of the Hopper product (gemm_sm90.cuh): those of one product, of a product a head, or of a
// product a group, whose numbers of rows are read on the device.
#pragma once

#include "kernels/cuda/gemm_groups.cuh"

namespace lmdeploy::cuda {

// Where a tile begins in the output of one product.
struct GemmCorner {
  int n, t;

  __device__ int weight_row(const GemmSm90Launch&) const { return n; }
  __device__ int x_column(const GemmSm90Launch&) const { return 0; }
  __device__ const GemmOutput& output(const GemmSm90Launch& gemm) const { return gemm.output; }
  __device__ const float* gate_bias(const GemmSm90Launch&) const { return nullptr; }
};

// Units go through `t_group` neighbouring tiles of x for each column of weights: what is worked on
// at one time shares both operands in L2.
template <int kTileN, int kTileT>
__device__ __forceinline__ GemmCorner corner_of(const GemmSm90Launch& gemm, int unit, int t_tiles,
                                                int rank) {
  int column = unit, t_tile = 0;
  if (t_tiles > 1) {
    const int group = unit / (gemm.t_group * gemm.columns), first = group * gemm.t_group;
    const int width = min(gemm.t_group, t_tiles - first);
    const int within = unit - first * gemm.columns;
    column = within / width;
    t_tile = first + within - column * width;
  }
  const int n_tile = (column << gemm.multicast_shift) + (gemm.multicast_shift > 0 ? rank : 0);
  return {n_tile * (gemm.gate.on ? kTileN / 2 : kTileN), t_tile * kTileT};
}

// The tiles of one product.
template <int kTileN, int kTileT>
struct OneProduct {
  static constexpr bool kKnownAhead = true;  // before the kernel before this one is done
  static constexpr bool kSplits = true;      // along k, where the plan says so
  static __device__ int count(const GemmSm90Launch& gemm) { return gemm.columns * gemm.t_tiles; }
  static __device__ GemmCorner corner(const GemmSm90Launch& gemm, int unit, int rank) {
    return corner_of<kTileN, kTileT>(gemm, unit, gemm.t_tiles, rank);
  }
};

// Where a tile begins in the output of a head.
struct HeadCorner {
  int n, t, head;

  __device__ int weight_row(const GemmSm90Launch& gemm) const { return head * gemm.output.n + n; }
  __device__ int x_column(const GemmSm90Launch& gemm) const {
    return head * static_cast<int>(gemm.heads.x_step);
  }
  __device__ GemmOutput output(const GemmSm90Launch& gemm) const {
    return output_of_head(gemm.output, gemm.heads, head);
  }
  __device__ const float* gate_bias(const GemmSm90Launch&) const { return nullptr; }
};

// The tiles of a product a head, the heads one after the other.
template <int kTileN, int kTileT>
struct HeadProduct {
  static constexpr bool kKnownAhead = true;
  static constexpr bool kSplits = false;
  static __device__ int count(const GemmSm90Launch& gemm) {
    return gemm.columns * gemm.t_tiles * gemm.heads.count;
  }
  static __device__ HeadCorner corner(const GemmSm90Launch& gemm, int unit, int rank) {
    const int tiles = gemm.columns * gemm.t_tiles, head = unit / tiles;
    const GemmCorner within =
        corner_of<kTileN, kTileT>(gemm, unit - head * tiles, gemm.t_tiles, rank);
    return {within.n, within.t, head};
  }
};

// Where a tile begins in the output of a group.
struct GroupCorner {
  int n, t, matrix, row_end;

  __device__ int weight_row(const GemmSm90Launch& gemm) const {
    return matrix * gemm.output.n * (gemm.gate.on ? 2 : 1) + n;
  }
  __device__ int x_column(const GemmSm90Launch&) const { return 0; }
  __device__ GemmOutput output(const GemmSm90Launch& gemm) const {
    return output_of_group(gemm.output, matrix, row_end);
  }
  __device__ const float* gate_bias(const GemmSm90Launch& gemm) const {
    if (gemm.gate.bias == nullptr) return nullptr;
    return gemm.gate.bias + int64_t{matrix} * 2 * gemm.output.n;
  }
};

// The tiles of a product a group, the groups one after the other.
template <int kTileN, int kTileT>
struct GroupedProduct {
  static constexpr bool kKnownAhead = false;
  static constexpr bool kSplits = false;
  static __device__ int count(const GemmSm90Launch& gemm) {
    return gemm.columns * gemm.groups.totals[0];
  }
  static __device__ GroupCorner corner(const GemmSm90Launch& gemm, int unit, int rank) {
    const GemmGroup group = group_of(gemm.groups, unit / gemm.columns);
    const int t_tiles = (group.row_end - group.row_begin + kTileT - 1) / kTileT;
    const GemmCorner within = corner_of<kTileN, kTileT>(
        gemm, unit - group.tiles_before * gemm.columns, t_tiles, rank);
    return {within.n, group.row_begin + within.t, group.matrix, group.row_end};
  }
};

}  // namespace lmdeploy::cuda
