#include "kernels/cuda/gemm_plan.h"

#include <algorithm>

namespace lmdeploy::cuda {

namespace {

int64_t tiles(int64_t size, int64_t tile) { return (size + tile - 1) / tile; }

// Parts of k, so that `wanted` blocks have work. 60 multiprocessors already fill the memory bus: one
// alone reads 50 GB/s and more (bench/results/2026-11-23-cuda-matmul.md).
int split_for(int64_t tile_count, int64_t k, int64_t wanted, int most) {
  const int64_t k_blocks = tiles(k, kGemmSm90BlockK);
  int split = 1;
  while (split < most && tile_count * split < wanted && k_blocks >= 8 * split) split *= 2;
  return split;
}

// Time of a large product: whole waves of tiles, each with its products and its loads.
double cost(int64_t rows, int64_t n, const GemmPlan& plan, int multiprocessors) {
  const int64_t units = tiles(n, plan.tile_n * plan.multicast) * tiles(rows, plan.tile_t);
  const int64_t waves = tiles(units, multiprocessors / plan.multicast);
  const double area = static_cast<double>(plan.tile_n) * plan.tile_t;
  const double loads = plan.tile_n + static_cast<double>(plan.tile_t) / plan.multicast;
  return static_cast<double>(waves) * (area + 24 * loads);
}

int narrowest_tile(int64_t rows) {
  for (int tile_t : {8, 16, 32, 64}) {
    if (rows <= tile_t) return tile_t;
  }
  return 128;
}

// The same split of k for every number of rows.
GemmPlan invariant_plan(int64_t rows, int64_t n, int64_t k, int multiprocessors) {
  const int split = split_for(tiles(n, 64), k, multiprocessors * 2 / 5, 4);
  const int tile_t = narrowest_tile(rows);
  const bool narrow = tile_t <= 32 && tiles(n, 128) < multiprocessors * 3 / 4;
  return {narrow ? 64 : 128, tile_t, split, 1};
}

}  // namespace

GemmPlan plan_gemm(int64_t rows, int64_t n, int64_t k, int multiprocessors, bool batch_invariant) {
  if (batch_invariant || rows <= 32) return invariant_plan(rows, n, k, multiprocessors);
  const int tile_t = narrowest_tile(rows);
  const int split = split_for(tiles(n, 128) * tiles(rows, tile_t), k, multiprocessors * 2 / 5, 8);
  if (rows <= 64 || split > 1) return {128, tile_t, split, 1};
  const GemmPlan large[] = {{128, 128, 1, 1}, {128, 128, 1, 2}, {256, 128, 1, 2}, {128, 256, 1, 2}};
  return *std::min_element(std::begin(large), std::end(large), [&](const GemmPlan& a, const GemmPlan& b) {
    return cost(rows, n, a, multiprocessors) < cost(rows, n, b, multiprocessors);
  });
}

}  // namespace lmdeploy::cuda
