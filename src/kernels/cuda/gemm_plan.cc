#include "kernels/cuda/gemm_plan.h"

#include <algorithm>
#include <span>

namespace lmdeploy::cuda {

namespace {

int64_t tiles(int64_t size, int64_t tile) { return (size + tile - 1) / tile; }

// Parts of k, so that `wanted` blocks have work.
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

// Few rows: the weights' bytes count. Two thirds of the multiprocessors fill the memory bus; tiles
// of 64 weight rows and a split of k see to that many blocks.
GemmPlan narrow_plan(int64_t rows, int64_t n, int64_t k, int multiprocessors) {
  const int64_t wanted = multiprocessors * 2 / 3;
  if (tiles(n, 128) >= wanted) return {128, narrowest_tile(rows), 1, 1};
  const int split = split_for(tiles(n, 64), k, wanted, 4);
  const bool is_short = rows <= 8 && k <= 4096 && split > 1;  // fewer blocks end sooner
  return {is_short ? 128 : 64, narrowest_tile(rows), split, 1};
}

GemmPlan cheapest(int64_t rows, int64_t n, int multiprocessors, std::span<const GemmPlan> plans) {
  return *std::min_element(plans.begin(), plans.end(), [&](const GemmPlan& a, const GemmPlan& b) {
    return cost(rows, n, a, multiprocessors) < cost(rows, n, b, multiprocessors);
  });
}

// The split of few rows for every number of rows, and one width of wgmma above 64.
GemmPlan invariant_plan(int64_t rows, int64_t n, int64_t k, int multiprocessors) {
  const GemmPlan narrow = narrow_plan(rows, n, k, multiprocessors);
  if (rows <= 32) return narrow;
  if (rows <= 64 || narrow.split > 1) return {128, narrowest_tile(rows), narrow.split, 1};
  const GemmPlan plans[] = {{128, 128, 1, 1}, {128, 128, 1, 2}, {256, 128, 1, 2}};
  return cheapest(rows, n, multiprocessors, plans);
}

}  // namespace

GemmPlan plan_gemm(int64_t rows, int64_t n, int64_t k, int multiprocessors, bool batch_invariant) {
  if (batch_invariant) return invariant_plan(rows, n, k, multiprocessors);
  if (rows <= 32) return narrow_plan(rows, n, k, multiprocessors);
  const int tile_t = narrowest_tile(rows);
  const int split = split_for(tiles(n, 128) * tiles(rows, tile_t), k, multiprocessors * 2 / 5, 8);
  if (rows <= 64 || split > 1) return {128, tile_t, split, 1};
  const GemmPlan plans[] = {{128, 128, 1, 1}, {128, 128, 1, 2}, {256, 128, 1, 2}, {128, 256, 1, 2}};
  return cheapest(rows, n, multiprocessors, plans);
}

// A tile should hold all rows of a group that has twice its share: a second tile reads the weights
// again. Wide tiles cost little while memory is the limit.
GemmPlan plan_grouped_gemm(int64_t rows, int64_t most_rows, int matrices, int64_t n,
                           int multiprocessors) {
  const int tile_t = narrowest_tile(std::min(most_rows, 2 * tiles(rows, matrices)));
  if (tile_t == 128) {
    return n >= 1024 ? GemmPlan{256, 128, 1, 2} : GemmPlan{128, 128, 1, 1};
  }
  const int64_t groups = std::min<int64_t>(rows, matrices);
  const bool enough = tiles(n, 128) * groups >= multiprocessors * 2 / 3;
  const bool narrow = tile_t == 8 || tile_t == 32;  // there are tiles of 64 weight rows
  return {enough || !narrow ? 128 : 64, tile_t, 1, 1};
}

}  // namespace lmdeploy::cuda
