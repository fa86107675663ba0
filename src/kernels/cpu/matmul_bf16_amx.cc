// bf16 weights times bf16 activations on AMX tiles: 32 rows x 2 panels at a time. k is cut into
// slabs, so that the weights of two panels stay in the first-level cache while the rows stream by,
// and the rows' slab in the second-level one while kStripPairs pairs of panels do.
#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/matmul_tile.h"

namespace lmdeploy::cpu {

namespace {

constexpr int64_t kTileBytes = 1024;  // of weights: 32 elements of k, 16 rows
constexpr int64_t kSlabSteps = 16;    // 2 panels: 32 KiB
constexpr int64_t kSweepRows = 256;   // rows whose sums are kept between slabs
constexpr int64_t kPairRows = 2 * kRowBlock;
constexpr int64_t kStripPairs = 8;

// A block of rows from a slab's first step on.
struct RowTiles {
  const uint16_t* data;
  int64_t step_elements;
};

RowTiles row_tiles(const Bf16Rows& x, int64_t row, int64_t step) {
  const int64_t rows = x.rows - row < kRowBlock ? x.rows - row : kRowBlock;
  return {x.data + (row * x.steps + step * rows) * 32, rows * 32};
}

// The sums of 32 rows for two panels: [block of rows][panel].
struct PairSums {
  ResultTile tile[2][2];
};

template <int Lefts, int Rights>
void load_sums(const PairSums& sums) {
  tile_load<0>(&sums.tile[0][0], 64);
  if constexpr (Rights == 2) tile_load<1>(&sums.tile[0][1], 64);
  if constexpr (Lefts == 2) tile_load<2>(&sums.tile[1][0], 64);
  if constexpr (Lefts == 2 && Rights == 2) tile_load<3>(&sums.tile[1][1], 64);
}

template <int Lefts, int Rights>
void store_sums(PairSums& sums) {
  tile_store<0>(&sums.tile[0][0], 64);
  if constexpr (Rights == 2) tile_store<1>(&sums.tile[0][1], 64);
  if constexpr (Lefts == 2) tile_store<2>(&sums.tile[1][0], 64);
  if constexpr (Lefts == 2 && Rights == 2) tile_store<3>(&sums.tile[1][1], 64);
}

// sums += the products of `steps` steps. `weights`: the slab of the first panel; the second's lies
// panel_bytes behind.
template <int Lefts, int Rights>
void multiply_slab(const std::byte* weights, int64_t panel_bytes, const RowTiles (&x)[2],
                   int64_t steps, bool first, PairSums& sums) {
  if (first) {
    tile_zero<0>();
    tile_zero<1>();
    tile_zero<2>();
    tile_zero<3>();
  } else {
    load_sums<Lefts, Rights>(sums);
  }
  for (int64_t step = 0; step < steps; ++step) {
    tile_load<4>(x[0].data + step * x[0].step_elements, 64);
    if constexpr (Lefts == 2) tile_load<5>(x[1].data + step * x[1].step_elements, 64);
    tile_load<6>(weights + step * kTileBytes, 64);
    if constexpr (Rights == 2) tile_load<7>(weights + panel_bytes + step * kTileBytes, 64);
    tile_products_bf16<Lefts, Rights>();
  }
  store_sums<Lefts, Rights>(sums);
}

// The sums of a strip: [pair of panels][pair of row blocks].
struct StripSums {
  PairSums pair[kStripPairs][kSweepRows / kPairRows];
};

// Rows [from, to) times one slab of Panels panels; `sums` is of those panels, by pair of row
// blocks.
template <int Panels>
void sweep_rows(const PanelMatrix& w, const Bf16Rows& x, int64_t panel, int64_t step, int64_t steps,
                int64_t from, int64_t to, PairSums* sums) {
  const auto panel_bytes = static_cast<int64_t>(w.layout.bytes);
  const std::byte* weights = w.panels + panel * panel_bytes + step * kTileBytes;
  for (int64_t row = from; row < to; row += kPairRows, ++sums) {
    RowTiles tiles[2] = {row_tiles(x, row, step), {}};
    if (row + kRowBlock < to) {
      tiles[1] = row_tiles(x, row + kRowBlock, step);
      multiply_slab<2, Panels>(weights, panel_bytes, tiles, steps, step == 0, *sums);
    } else {
      multiply_slab<1, Panels>(weights, panel_bytes, tiles, steps, step == 0, *sums);
    }
  }
}

// Rows [from, to) times panels [begin, end), at most a strip.
void sweep_strip(const PanelMatrix& w, const Bf16Rows& x, const MatmulOutput& out, int64_t begin,
                 int64_t end, int64_t from, int64_t to, StripSums& sums) {
  // A few rows read their weights once: no slabs.
  const int64_t slab = to - from <= kPairRows ? x.steps : kSlabSteps;
  for (int64_t step = 0; step < x.steps; step += slab) {
    const int64_t steps = x.steps - step < slab ? x.steps - step : slab;
    int64_t panel = begin;
    for (; panel + 1 < end; panel += 2) {
      sweep_rows<2>(w, x, panel, step, steps, from, to, sums.pair[(panel - begin) / 2]);
    }
    if (panel < end) {
      sweep_rows<1>(w, x, panel, step, steps, from, to, sums.pair[(panel - begin) / 2]);
    }
  }
  for (int64_t panel = begin; panel < end; ++panel) {
    for (int64_t row = from; row < to; row += kRowBlock) {
      const int rows = static_cast<int>(to - row < kRowBlock ? to - row : kRowBlock);
      const int64_t block = (row - from) / kRowBlock;
      PairSums& pair = sums.pair[(panel - begin) / 2][block / 2];
      store_tile(w, out, panel, row, rows, pair.tile[block % 2][(panel - begin) % 2]);
    }
  }
}

}  // namespace

void bf16_panels_amx(const PanelMatrix& w, const Bf16Rows& x, const MatmulOutput& out,
                     int64_t begin, int64_t end) {
  const int tile_rows = static_cast<int>(x.rows < kRowBlock ? x.rows : kRowBlock);
  const TileScope tiles({.rows = tile_rows, .row_bytes = 64}, {.rows = 16, .row_bytes = 64});
  StripSums sums;
  for (int64_t from = 0; from < x.rows; from += kSweepRows) {
    const int64_t to = from + kSweepRows < x.rows ? from + kSweepRows : x.rows;
    for (int64_t panel = begin; panel < end; panel += 2 * kStripPairs) {
      const int64_t strip_end = panel + 2 * kStripPairs < end ? panel + 2 * kStripPairs : end;
      sweep_strip(w, x, out, panel, strip_end, from, to, sums);
    }
  }
}

}  // namespace lmdeploy::cpu
