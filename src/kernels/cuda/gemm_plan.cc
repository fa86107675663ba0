#include "kernels/cuda/gemm_plan.h"

#include <algorithm>
#include <iterator>
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

// Up to 64 rows the weights' bytes count. Two thirds of the multiprocessors fill the memory bus;
// tiles of 64 weight rows and a split of k see to that many blocks.
bool fills_the_bus(int64_t n, int multiprocessors) {
  return tiles(n, 128) >= multiprocessors * 2 / 3;
}
int narrow_split(int64_t n, int64_t k, int multiprocessors) {
  if (fills_the_bus(n, multiprocessors)) return 1;
  return split_for(tiles(n, 64), k, multiprocessors * 2 / 3, 4);
}

// Up to 32 rows.
GemmPlan narrow_plan(int64_t rows, int64_t n, int64_t k, int multiprocessors) {
  const int split = narrow_split(n, k, multiprocessors);
  // Fewer blocks end sooner, where they need not be many to be fast.
  const bool is_short = rows <= 8 && split > 1 && (n >= 4096 || k <= 4096);
  const bool wide = is_short || fills_the_bus(n, multiprocessors);
  return {wide ? 128 : 64, narrowest_tile(rows), split, 1};
}

// 33 to 64 rows: one block a multiprocessor, and the tile with which the busiest one has least to
// do: its weights, and x again with each tile.
GemmPlan medium_plan(int64_t n, int64_t k, int multiprocessors) {
  const int split = narrow_split(n, k, multiprocessors);
  if (split > 1) return {64, 64, split, 1};
  const auto rows_of_busiest = [&](const GemmPlan& plan) {
    const int64_t x = 38;  // a tile's x costs as much as so many weight rows
    return tiles(tiles(n, plan.tile_n), multiprocessors) * (plan.tile_n + x);
  };
  const GemmPlan plans[] = {{64, 64, 1, 1}, {128, 64, 1, 1}, {256, 64, 1, 1}};
  return *std::min_element(std::begin(plans), std::end(plans),
                           [&](const GemmPlan& a, const GemmPlan& b) {
                             return rows_of_busiest(a) < rows_of_busiest(b);
                           });
}

GemmPlan cheapest(int64_t rows, int64_t n, int multiprocessors, std::span<const GemmPlan> plans) {
  return *std::min_element(plans.begin(), plans.end(), [&](const GemmPlan& a, const GemmPlan& b) {
    return cost(rows, n, a, multiprocessors) < cost(rows, n, b, multiprocessors);
  });
}

// The split of few rows for every number of rows, and one width of wgmma above 64.
GemmPlan invariant_plan(int64_t rows, int64_t n, int64_t k, int multiprocessors) {
  if (rows <= 32) return narrow_plan(rows, n, k, multiprocessors);
  if (rows <= 64) return medium_plan(n, k, multiprocessors);
  if (const int split = narrow_split(n, k, multiprocessors); split > 1) return {128, 128, split, 1};
  const GemmPlan plans[] = {{128, 128, 1, 1}, {128, 128, 1, 2}, {256, 128, 1, 2}};
  return cheapest(rows, n, multiprocessors, plans);
}

}  // namespace

GemmPlan plan_gemm(int64_t rows, int64_t n, int64_t k, int multiprocessors, bool batch_invariant) {
  if (batch_invariant) return invariant_plan(rows, n, k, multiprocessors);
  if (rows <= 32) return narrow_plan(rows, n, k, multiprocessors);
  if (rows <= 64) return medium_plan(n, k, multiprocessors);
  const int split = split_for(tiles(n, 128) * tiles(rows, 128), k, multiprocessors * 2 / 5, 8);
  if (split > 1) return {128, 128, split, 1};
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

GemmPlan plan_heads_gemm(int64_t rows, int heads, int64_t n, int multiprocessors) {
  const int narrowest = narrowest_tile(rows), tile_t = narrowest == 16 ? 32 : narrowest;
  const bool wide = tile_t == 128 || tiles(n, 128) * heads >= multiprocessors * 2 / 3;
  return {wide ? 128 : 64, tile_t, 1, 1};
}

}  // namespace lmdeploy::cuda
