// bf16 activations times weights on AMX tiles, 32 rows x 2 panels at a time: bf16 weights as they lie,
// block types rounded to bf16 (round_weights_avx512.h) once for all rows. A scale group of 32 elements
// fills half of an int8 tile, so int8 products would take as long, and each would have to be scaled.
//
// Rows and weights are cut along k into slabs (Bf16Rows), so that the slab of many rows stays in
// the second-level cache while a strip of panels is multiplied with it.
#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/matmul_tile.h"
#include "kernels/cpu/round_weights_avx512.h"

namespace lmdeploy::cpu {

namespace {

constexpr int64_t kTileBytes = 1024;  // of weights: a step of 16 rows
constexpr int64_t kPairRows = 2 * kRowBlock;
constexpr int64_t kSweepRows = 512;  // rows that share a rounded slab
constexpr int64_t kStripPairs = 8;   // pairs of panels whose sums are kept between slabs

// A block of rows from some step on, and the block behind it.
struct RowTiles {
  const uint16_t* data[2];
  int64_t step_elements[2];
};

// Rows [row, row + 32) of x, as far as there are any before `to`.
RowTiles row_tiles(const Bf16Rows& x, int64_t row, int64_t to, int64_t step) {
  RowTiles tiles{};
  for (int i = 0; i < 2 && row < to; ++i, row += kRowBlock) {
    tiles.data[i] = bf16_step(x, row, step);
    tiles.step_elements[i] = bf16_block_rows(x, row) * 32;
  }
  return tiles;
}

// One or two panels of bf16 from some step on.
struct WeightTiles {
  const std::byte* data;
  int64_t panel_bytes;  // from the first to the second
};

// Rows stay in the first-level cache, or stream by the weights that do.
enum class Rows { kStay, kStream };

template <int Tile, Rows kRows>
[[gnu::always_inline]] inline void load_rows(const uint16_t* from) {
  if constexpr (kRows == Rows::kStream) {
    tile_stream<Tile>(from, 64);
  } else {
    tile_load<Tile>(from, 64);
  }
}

// Tiles 0 to 3 += `steps` steps of Lefts blocks of rows times Rights panels.
template <Rows kRows, int Lefts, int Rights>
[[gnu::always_inline]] inline void multiply_steps(const WeightTiles& w, const RowTiles& x, int64_t steps) {
  const std::byte* weights = w.data;
  const uint16_t *first = x.data[0], *second = x.data[1];
  for (int64_t step = 0; step < steps; ++step) {
    load_rows<4, kRows>(first);
    if constexpr (Lefts == 2) load_rows<5, kRows>(second);
    tile_load<6>(weights, 64);
    if constexpr (Rights == 2) tile_load<7>(weights + w.panel_bytes, 64);
    tile_products_bf16<Lefts, Rights>();
    weights += kTileBytes;
    first += x.step_elements[0];
    if constexpr (Lefts == 2) second += x.step_elements[1];
  }
}

// Sums of 32 rows for two panels: [block of rows][panel], tiles 0 to 3 in order.
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

void zero_sums() {
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
}

// out = residual + (sums + bias) for rows [row, row + rows) and the columns of Panels panels: whole
// cache lines of a row one after the other.
template <int Panels>
void write_block(const PanelMatrix& w, const MatmulOutput& out, int64_t panel, int64_t row,
                 int64_t rows, const ResultTile (&sums)[2]) {
  const int64_t column = panel * kPanelRows;
  __mmask16 mask[Panels];
  __m512 bias[Panels];
  for (int i = 0; i < Panels; ++i) {
    const int64_t left = w.rows - column - i * kPanelRows;
    mask[i] = static_cast<__mmask16>(left < kPanelRows ? (1 << left) - 1 : 0xFFFF);
    bias[i] = _mm512_setzero_ps();
    if (out.bias != nullptr) bias[i] = _mm512_maskz_loadu_ps(mask[i], out.bias + column + i * kPanelRows);
  }
  float* to = out.data + row * out.stride + column;
  for (int64_t m = 0; m < rows; ++m, to += out.stride) {
#pragma GCC unroll 2
    for (int i = 0; i < Panels; ++i) {
      __m512 value = _mm512_load_ps(sums[i].value[m]);
      if (out.bias != nullptr) value = _mm512_add_ps(value, bias[i]);
      if (out.add) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask[i], to + i * kPanelRows), value);
      _mm512_mask_storeu_ps(to + i * kPanelRows, mask[i], value);
    }
  }
}

template <int Panels>
void write_pair(const PanelMatrix& w, const MatmulOutput& out, int64_t panel, int64_t row, int64_t to,
                const PairSums& sums) {
  for (int block = 0; block < 2 && row < to; ++block, row += kRowBlock) {
    const int64_t rows = to - row < kRowBlock ? to - row : kRowBlock;
    write_block<Panels>(w, out, panel, row, rows, sums.tile[block]);
  }
}

// The end of the slab of x that step `step` lies in.
int64_t slab_end_of(const Bf16Rows& x, int64_t step) {
  const int64_t end = (step / x.slab_steps + 1) * x.slab_steps;
  return end < x.steps ? end : x.steps;
}

// Where weights of block types are rounded: two panels, one behind the other.
template <int64_t kSteps>
struct alignas(64) RoundedWeights {
  std::byte tile[2][kSteps][kTileBytes];
};

// Steps [begin, end), at most kSteps, of `panels` panels as bf16.
template <DType D, int64_t kSteps>
WeightTiles weight_tiles(const PanelMatrix& w, int64_t panel, int panels, int64_t begin, int64_t end,
                         RoundedWeights<kSteps>& rounded) {
  const auto panel_bytes = static_cast<int64_t>(w.layout.bytes);
  const std::byte* data = w.panels + panel * panel_bytes;
  if constexpr (D == DType::kBF16) return {data + begin * kTileBytes, panel_bytes};
  const int64_t group_bytes = panel_bytes / w.layout.groups;
  for (int i = 0; i < panels; ++i) {
    const PanelLanes at{data + i * panel_bytes, w.layout, 0};
    const std::byte* ahead = data + (i + panels) * panel_bytes;
    for (int64_t g = begin; g < end; ++g) {
      for (int64_t b = 0; b < group_bytes; b += 64) Avx512Vector::prefetch(ahead + g * group_bytes + b);
      round_group<D>(at, g, rounded.tile[i][g - begin]);
    }
  }
  return {rounded.tile[0][0], static_cast<int64_t>(sizeof(rounded.tile[0]))};
}

// At most 32 rows: the sums stay in the tiles, and few steps are rounded at a time, so that the next
// ones are while the tiles multiply.
template <DType D, int Lefts, int Panels>
void multiply_few_rows(const PanelMatrix& w, const Bf16Rows& x, const MatmulOutput& out, int64_t panel) {
  constexpr int64_t kSteps = 2;
  RoundedWeights<kSteps> rounded;
  zero_sums();
  for (int64_t step = 0, end; step < x.steps; step = end) {
    const int64_t slab_end = slab_end_of(x, step);
    end = D != DType::kBF16 && step + kSteps < slab_end ? step + kSteps : slab_end;
    const WeightTiles weights = weight_tiles<D>(w, panel, Panels, step, end, rounded);
    multiply_steps<Rows::kStay, Lefts, Panels>(weights, row_tiles(x, 0, x.rows, step), end - step);
  }
  PairSums sums;
  store_sums<Lefts, Panels>(sums);
  write_pair<Panels>(w, out, panel, 0, x.rows, sums);
}

// Rows of a sweep.
struct RowRange {
  int64_t begin, end;
};

// One slab of Panels panels times a sweep of rows. `sums`, by pair of row blocks, are those of the slabs
// before; after the last slab the results are written instead.
template <DType D, int Panels>
void multiply_slab(const PanelMatrix& w, const Bf16Rows& x, const MatmulOutput& out, int64_t panel,
                   int64_t step, const RowRange& rows, PairSums* sums) {
  const int64_t end = slab_end_of(x, step);
  RoundedWeights<kBf16SlabSteps> rounded;
  const WeightTiles weights = weight_tiles<D>(w, panel, Panels, step, end, rounded);
  const auto run = [&]<int Lefts>(int64_t row, PairSums& pair) {
    if (step == 0) {
      zero_sums();
    } else {
      load_sums<Lefts, Panels>(pair);
    }
    multiply_steps<Rows::kStream, Lefts, Panels>(weights, row_tiles(x, row, rows.end, step),
                                                  end - step);
    store_sums<Lefts, Panels>(pair);
    if (end == x.steps) write_pair<Panels>(w, out, panel, row, rows.end, pair);
  };
  for (int64_t row = rows.begin; row < rows.end; row += kPairRows, ++sums) {
    if (row + kRowBlock < rows.end) {
      run.template operator()<2>(row, *sums);
    } else {
      run.template operator()<1>(row, *sums);
    }
  }
}

struct StripSums {
  PairSums pair[kStripPairs][kSweepRows / kPairRows];
};

template <DType D>
void multiply_strip(const PanelMatrix& w, const Bf16Rows& x, const MatmulOutput& out, int64_t begin,
                    int64_t end, const RowRange& rows, StripSums& sums) {
  for (int64_t step = 0; step < x.steps; step += x.slab_steps) {
    PairSums(*pair)[kSweepRows / kPairRows] = sums.pair;
    for (int64_t panel = begin; panel < end; panel += 2, ++pair) {
      if (panel + 1 < end) {
        multiply_slab<D, 2>(w, x, out, panel, step, rows, *pair);
      } else {
        multiply_slab<D, 1>(w, x, out, panel, step, rows, *pair);
      }
    }
  }
}

template <DType D>
void multiply_many_rows(const PanelMatrix& w, const Bf16Rows& x, const MatmulOutput& out, int64_t begin,
                        int64_t end) {
  StripSums sums;
  for (int64_t from = 0; from < x.rows; from += kSweepRows) {
    const RowRange rows{from, from + kSweepRows < x.rows ? from + kSweepRows : x.rows};
    for (int64_t panel = begin; panel < end; panel += 2 * kStripPairs) {
      const int64_t strip_end = panel + 2 * kStripPairs < end ? panel + 2 * kStripPairs : end;
      multiply_strip<D>(w, x, out, panel, strip_end, rows, sums);
    }
  }
}

template <DType D>
void multiply_panels_amx(const PanelMatrix& w, const Bf16Rows& x, const MatmulOutput& out, int64_t begin,
                         int64_t end) {
  if (x.rows > kPairRows) return multiply_many_rows<D>(w, x, out, begin, end);
  const auto run = [&]<int Lefts>() {
    int64_t panel = begin;
    for (; panel + 1 < end; panel += 2) multiply_few_rows<D, Lefts, 2>(w, x, out, panel);
    if (panel < end) multiply_few_rows<D, Lefts, 1>(w, x, out, panel);
  };
  if (x.rows > kRowBlock) return run.template operator()<2>();
  run.template operator()<1>();
}

}  // namespace

void bf16_panels_amx(const PanelMatrix& w, const Bf16Rows& x, const MatmulOutput& out, int64_t begin,
                     int64_t end) {
  const int tile_rows = static_cast<int>(x.rows < kRowBlock ? x.rows : kRowBlock);
  const TileScope tiles(tile_rows);
  switch (w.format) {
    case DType::kBF16: return multiply_panels_amx<DType::kBF16>(w, x, out, begin, end);
    case DType::kQ4_0: return multiply_panels_amx<DType::kQ4_0>(w, x, out, begin, end);
    case DType::kQ4_1: return multiply_panels_amx<DType::kQ4_1>(w, x, out, begin, end);
    case DType::kQ5_0: return multiply_panels_amx<DType::kQ5_0>(w, x, out, begin, end);
    case DType::kQ5_1: return multiply_panels_amx<DType::kQ5_1>(w, x, out, begin, end);
    case DType::kQ8_0: return multiply_panels_amx<DType::kQ8_0>(w, x, out, begin, end);
    case DType::kQ4_K: return multiply_panels_amx<DType::kQ4_K>(w, x, out, begin, end);
    case DType::kQ5_K: return multiply_panels_amx<DType::kQ5_K>(w, x, out, begin, end);
    case DType::kQ6_K: return multiply_panels_amx<DType::kQ6_K>(w, x, out, begin, end);
    default: __builtin_unreachable();  // matmul.cc sends block types and bf16 here
  }
}

}  // namespace lmdeploy::cpu
