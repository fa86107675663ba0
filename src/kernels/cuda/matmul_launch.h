// The matmul kernels as their host code sees them: out[t][n] = sum over k of x[t][k] weight[n][k],
// in f32, f16 or bf16 with fp32 sums. A .cu file and what it includes hold device code and launches
// alone.
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/activation.h"
#include "tensor/dtype.h"

namespace lmdeploy::cuda {

// Where the sums go. Each is rounded once, after bias and residual are added.
struct GemmOutput {
  void* out;  // [rows, n] of the inputs' type or, with f32, of fp32
  int64_t stride;
  const float* bias;  // [n] or nullptr
  int64_t rows;       // T, at least 1
  int n;
  bool add;  // out += the result
  bool f32;
  bool vectors;  // rows of `out` are whole aligned 16-byte vectors
};

// A product of many weights (kernels/moe_mlp.h): rows of x are sorted by the matrix that multiplies
// them, and matrix g is rows [g n, (g + 1) n) of `weights` (with a gate 2 n each), its bias row g of
// the biases. The device knows which matrices have rows.
struct GemmGroup {
  int matrix;
  int row_begin, row_end;  // of x and of the output
  int tiles_before;        // of `tile_t` rows each, in the groups before
};
struct GemmGroups {
  const GemmGroup* groups = nullptr;  // those with rows, in order; nullptr: one matrix for all rows
  const int* totals = nullptr;        // [2]: tiles, groups
  int tile_t = 0;
  int matrices = 1;
  int most_tiles = 0;  // bound of totals[0]
};

// A product a head (kernels/matmul_heads.h): head h's matrix is rows [h n, (h + 1) n) of `weights`, and
// what it reads of x and writes begins h * x_step and h * out_step elements further.
struct GemmHeads {
  int count = 1;
  int64_t x_step = 0, out_step = 0;
};

// Operands of the portable kernels. Strides in elements.
struct GemmLaunch {
  const void* x;        // [rows, k]
  const void* weights;  // [n, k], rows one after the other
  int64_t x_stride;
  int64_t k;
  GemmOutput output;
  GemmGroups groups = {};
  GemmHeads heads = {};
};

// fp32 multiply-add of any shape, type and alignment: the f32 instance, and what the others leave.
cudaError_t launch_matmul_plain(const GemmLaunch& gemm, DType dtype, cudaStream_t stream);

// Tensor cores of compute capability 8.0 and later, f16 and bf16. Rows of x and of the weights are
// whole aligned 16-byte vectors. A row's result does not depend on the number of rows. Groups have a
// tile_t of kGemmMmaTiles.
cudaError_t launch_matmul_mma(const GemmLaunch& gemm, DType dtype, cudaStream_t stream);

// Rows of x of a tile, by which groups may be cut; the plain kernel has the last one.
inline constexpr int kGemmMmaTiles[] = {16, 64};
inline constexpr int kGemmPlainTile = 64;

// How the Hopper kernel cuts the product up.
struct GemmPlan {
  int tile_n = 128;   // weight rows of a tile; with a gate half of them are Wu's
  int tile_t = 128;   // rows of x of a tile
  int split = 1;      // blocks of a cluster that share a tile, each with a part of k: 1, 2, 4 or 8
                      // (tile_n 128; up to 4 with tile_n 64)
  int multicast = 1;  // or blocks of a cluster with neighbouring weight rows that share x: 1, 2 or
                      // 4 (tile_t / multicast >= 8)
  bool operator==(const GemmPlan&) const = default;
};

// A gated product: out = activation(x Wg^T) * (x Wu^T), rounded once; `weights` are Wg's n rows,
// then Wu's. Without add and split.
struct GemmGate {
  bool on = false;
  Activation activation = Activation::kSilu;
  const float* bias = nullptr;  // of groups alone: [matrices, 2 n], or nullptr
};

// wgmma and bulk tensor copies of compute capability 9.0, f16 and bf16.
struct GemmSm90Launch {
  // 128-byte swizzled boxes of 64 k: [tile_n, 64] of the weights, [tile_t / multicast, 64] of x.
  // With a gate a tile's first half is rows of Wg, its second the same rows of Wu: the boxes are
  // [tile_n / 2, 64].
  CUtensorMap weights, x;
  GemmOutput output;
  GemmGate gate;
  GemmGroups groups;
  GemmHeads heads;
  int k_blocks;  // of 64
  int t_tiles;
  int t_group;  // neighbouring tiles of x that are worked on at a time
  int columns;  // tiles of weights, or groups of `multicast` of them
  int clusters;
  int split_shift, multicast_shift;  // powers of two
  int next_at;                       // copies left to issue when the next kernel may start
};
// The plan's tile is one of kGemmSm90Tiles.
cudaError_t launch_matmul_f16_sm90(const GemmSm90Launch& gemm, const GemmPlan& plan,
                                   cudaStream_t stream);
cudaError_t launch_matmul_bf16_sm90(const GemmSm90Launch& gemm, const GemmPlan& plan,
                                    cudaStream_t stream);

// The same with groups, whose tile_t is the plan's; plan.split is 1.
cudaError_t launch_grouped_f16_sm90(const GemmSm90Launch& gemm, const GemmPlan& plan,
                                    cudaStream_t stream);
cudaError_t launch_grouped_bf16_sm90(const GemmSm90Launch& gemm, const GemmPlan& plan,
                                     cudaStream_t stream);

// The same with heads; k is a multiple of kGemmSm90BlockK, plan.split and plan.multicast are 1.
cudaError_t launch_heads_f16_sm90(const GemmSm90Launch& gemm, const GemmPlan& plan,
                                  cudaStream_t stream);
cudaError_t launch_heads_bf16_sm90(const GemmSm90Launch& gemm, const GemmPlan& plan,
                                   cudaStream_t stream);

struct GemmTile {
  int n, t;
};
inline constexpr GemmTile kGemmSm90Tiles[] = {{64, 8},    {64, 16},   {64, 32},  {64, 64},
                                              {128, 8},   {128, 16},  {128, 32}, {128, 64},
                                              {128, 128}, {256, 64},  {256, 128},
                                              {128, 256}};
inline constexpr GemmTile kGroupedSm90Tiles[] = {{64, 8},   {64, 32},  {128, 8},   {128, 16},
                                                 {128, 32}, {128, 64}, {128, 128}, {256, 128}};
inline constexpr GemmTile kHeadsSm90Tiles[] = {{64, 8},  {64, 32},  {64, 64},  {128, 8},
                                               {128, 32}, {128, 64}, {128, 128}};
inline constexpr int kGemmSm90BlockK = 64;

}  // namespace lmdeploy::cuda
