#include "kernels/cuda/gemm_plan.h"

#include <algorithm>

namespace lmdeploy::cuda {

namespace {

constexpr int kMaxSplit = 8;  // the largest cluster that every Hopper part schedules

int64_t tiles(int64_t size, int64_t tile) { return (size + tile - 1) / tile; }

// Parts of k, so that about three quarters of the multiprocessors have a tile: those keep enough
// copies in flight to fill the memory bus.
int split_for(int64_t tile_count, int64_t k, int multiprocessors) {
  const int64_t k_blocks = tiles(k, kGemmSm90BlockK);
  int split = 1;
  while (split < kMaxSplit && tile_count * split * 4 < multiprocessors * 3 && k_blocks >= 4 * split) {
    split *= 2;
  }
  return split;
}

// Time of a large product in units of one tile's row of wgmmas: whole waves of tiles, and for each tile
// the traffic of its operands.
double cost(int64_t rows, int64_t n, const GemmPlan& plan, int multiprocessors) {
  const int64_t units = tiles(n, plan.tile_n * plan.multicast) * tiles(rows, plan.tile_t);
  const int64_t waves = tiles(units, multiprocessors / plan.multicast);
  const double area = static_cast<double>(plan.tile_n) * plan.tile_t;
  const double loads = plan.tile_n + static_cast<double>(plan.tile_t) / plan.multicast;
  return static_cast<double>(waves) * (area + 24 * loads);
}

}  // namespace

GemmPlan plan_gemm(int64_t rows, int64_t n, int64_t k, int multiprocessors, bool batch_invariant) {
  GemmPlan plan;
  for (int tile_t : {8, 16, 32, 64, 128}) {
    plan.tile_t = tile_t;
    if (rows <= tile_t) break;
  }
  const int64_t columns = tiles(n, plan.tile_n);
  if (batch_invariant) {
    plan.split = split_for(columns, k, multiprocessors);
    return plan;
  }
  plan.split = split_for(columns * tiles(rows, plan.tile_t), k, multiprocessors);
  if (rows <= 64 || plan.split > 1) return plan;
  const GemmPlan large[] = {{128, 128, 1, 1}, {128, 128, 1, 2}, {256, 128, 1, 2}, {128, 256, 1, 2}};
  return *std::min_element(std::begin(large), std::end(large), [&](const GemmPlan& a, const GemmPlan& b) {
    return cost(rows, n, a, multiprocessors) < cost(rows, n, b, multiprocessors);
  });
}

}  // namespace lmdeploy::cuda
