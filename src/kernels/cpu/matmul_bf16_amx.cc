// bf16 activations times weights on AMX tiles, 32 rows x 2 panels at a time: bf16 weights as they lie,
// block types rounded to bf16 (round_weights_avx512.h) once for all rows. A scale group of 32 elements
// fills half of an int8 tile, so int8 products would take as long, and each would have to be scaled.
//
// Rows and weights are cut along k into slabs (Bf16Rows), so that the slab of many rows stays in the
// second-level cache while a strip of panels is multiplied with it, two panels of the slab at a time,
// which stay in the nearest one.
#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/matmul_tile.h"
#include "kernels/cpu/round_weights_avx512.h"

namespace lmdeploy::cpu {

namespace {

constexpr int64_t kTileBytes = 1024;  // of weights: a step of 16 rows
constexpr int64_t kPairRows = 2 * kRowBlock;
constexpr int64_t kStripPanels = 16;  // whose sums the second-level cache keeps between slabs
constexpr int64_t kRoundAhead = 3;    // steps from rounding to use: lines just written load slowly

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

// Tiles 0 to 3 += `steps` steps of Lefts blocks of rows times Rights panels. between(step) follows each
// step: vector instructions there run beside the tile products.
template <Rows kRows, int Lefts, int Rights, class Between>
[[gnu::always_inline]] inline void multiply_steps(const WeightTiles& w, const RowTiles& x, int64_t steps,
                                                  Between between) {
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
    between(step);
  }
}

// Sums of 32 rows for two panels: [block of rows][panel], tiles 0 to 3 in order.
struct PairSums {
  ResultTile tile[2][2];
};

// Where those are: a PairSums, or the output itself.
struct SumTiles {
  float* tile[2][2];
  int64_t row_bytes;  // from one row to the next
};

SumTiles sum_tiles(PairSums& sums) {
  return {{{sums.tile[0][0].value[0], sums.tile[0][1].value[0]},
           {sums.tile[1][0].value[0], sums.tile[1][1].value[0]}},
          64};
}

template <int Lefts, int Rights>
void load_sums(const SumTiles& sums) {
  tile_load<0>(sums.tile[0][0], sums.row_bytes);
  if constexpr (Rights == 2) tile_load<1>(sums.tile[0][1], sums.row_bytes);
  if constexpr (Lefts == 2) tile_load<2>(sums.tile[1][0], sums.row_bytes);
  if constexpr (Lefts == 2 && Rights == 2) tile_load<3>(sums.tile[1][1], sums.row_bytes);
}

template <int Lefts, int Rights>
void store_sums(const SumTiles& sums) {
  tile_store<0>(sums.tile[0][0], sums.row_bytes);
  if constexpr (Rights == 2) tile_store<1>(sums.tile[0][1], sums.row_bytes);
  if constexpr (Lefts == 2) tile_store<2>(sums.tile[1][0], sums.row_bytes);
  if constexpr (Lefts == 2 && Rights == 2) tile_store<3>(sums.tile[1][1], sums.row_bytes);
}

void zero_sums() {
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
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
      for (int64_t b = 0; b < group_bytes; b += 64) __builtin_prefetch(ahead + g * group_bytes + b);
      round_group<D>(at, g, rounded.tile[i][g - begin]);
    }
  }
  return {rounded.tile[0][0], static_cast<int64_t>(sizeof(rounded.tile[0]))};
}

// One or two panels of a slab.
struct Unit {
  int64_t panel;
  int64_t panels;      // 0 or less: there is none
  int64_t begin, end;  // steps
  int64_t steps() const { return end - begin; }
};

// The sums of a unit and up to 32 rows: between slabs they are in the output, which itself serves
// where it has room for whole tiles, else a copy. The first slab's begin with the residual or the bias.
template <int Lefts, int Panels>
class UnitSums {
 public:
  UnitSums(const PanelMatrix& w, const MatmulOutput& out, const Unit& unit, int64_t row, int64_t rows)
      : out_(out), unit_(unit), rows_(rows), to_(out.data + row * out.stride + unit.panel * kPanelRows) {
    for (int i = 0; i < Panels; ++i) {
      const int64_t left = w.rows - (unit.panel + i) * kPanelRows;
      mask_[i] = static_cast<__mmask16>(left < kPanelRows ? (1 << left) - 1 : 0xFFFF);
    }
    const bool adds_both = unit.begin == 0 && out.add && out.bias != nullptr;
    copied_ = rows < Lefts * kRowBlock || mask_[Panels - 1] != 0xFFFF || adds_both;
  }

  void load() {
    const bool from_output = unit_.begin > 0 || out_.add;
    const bool with_bias = unit_.begin == 0 && out_.bias != nullptr;
    if (copied_ && (from_output || with_bias)) {
      copy_in(from_output, with_bias);
      load_sums<Lefts, Panels>(sum_tiles(copy_));
    } else if (from_output) {
      load_sums<Lefts, Panels>(in_place());
    } else if (with_bias) {
      float* bias = const_cast<float*>(out_.bias) + unit_.panel * kPanelRows;
      load_sums<Lefts, Panels>({{{bias, bias + kPanelRows}, {bias, bias + kPanelRows}}, 0});
    } else {
      zero_sums();
    }
  }

  void store() {
    if (!copied_) return store_sums<Lefts, Panels>(in_place());
    store_sums<Lefts, Panels>(sum_tiles(copy_));
    for_vectors([&](float* to, float* copy, int i) {
      _mm512_mask_storeu_ps(to, mask_[i], _mm512_load_ps(copy));
    });
  }

 private:
  SumTiles in_place() const {
    float* second = to_ + kRowBlock * out_.stride;
    return {{{to_, to_ + kPanelRows}, {second, second + kPanelRows}},
            out_.stride * static_cast<int64_t>(sizeof(float))};
  }

  // fn(vector of the output, of the copy, panel).
  template <class F>
  void for_vectors(F fn) {
    for (int64_t m = 0; m < rows_; ++m) {
      for (int i = 0; i < Panels; ++i) {
        fn(to_ + m * out_.stride + i * kPanelRows, copy_.tile[m / kRowBlock][i].value[m % kRowBlock], i);
      }
    }
  }

  void copy_in(bool from_output, bool with_bias) {
    const float* bias = out_.bias + (with_bias ? unit_.panel * kPanelRows : 0);
    for_vectors([&](const float* from, float* copy, int i) {
      __m512 value = _mm512_maskz_loadu_ps(from_output ? mask_[i] : 0, from);
      if (with_bias) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask_[i], bias + i * kPanelRows));
      _mm512_store_ps(copy, value);
    });
  }

  const MatmulOutput& out_;
  const Unit& unit_;
  int64_t rows_;
  float* to_;
  __mmask16 mask_[Panels];
  bool copied_;
  PairSums copy_;
};

// At most 32 rows: the sums stay in the tiles, and few steps are rounded at a time, so that the next
// ones are while the tiles multiply.
template <DType D, int Lefts, int Panels>
void multiply_few_rows(const PanelMatrix& w, const Bf16Rows& x, const MatmulOutput& out, int64_t panel) {
  constexpr int64_t kSteps = 2;
  RoundedWeights<kSteps> rounded;
  const Unit unit{panel, Panels, 0, x.steps};
  UnitSums<Lefts, Panels> sums(w, out, unit, 0, x.rows);
  sums.load();
  for (int64_t step = 0, end; step < x.steps; step = end) {
    const int64_t slab_end = slab_end_of(x, step);
    end = D != DType::kBF16 && step + kSteps < slab_end ? step + kSteps : slab_end;
    const WeightTiles weights = weight_tiles<D>(w, panel, Panels, step, end, rounded);
    multiply_steps<Rows::kStay, Lefts, Panels>(weights, row_tiles(x, 0, x.rows, step), end - step,
                                                [](int64_t) {});
  }
  sums.store();
}

// ---- many rows ----

// The units that panels [begin, end) are taken in: strips of panels, in them slabs, in them pairs.
class Units {
 public:
  Units(const Bf16Rows& x, int64_t begin, int64_t end) : x_(x), strip_(begin), end_(end) {}
  Unit first() const { return unit(strip_, 0); }
  Unit after(const Unit& at) {
    const int64_t strip_end = strip_ + kStripPanels;
    if (at.panel + 2 < (strip_end < end_ ? strip_end : end_)) return unit(at.panel + 2, at.begin);
    if (at.end < x_.steps) return unit(strip_, at.end);
    strip_ = strip_end;
    return unit(strip_, 0);
  }

 private:
  Unit unit(int64_t panel, int64_t step) const {
    return {panel, end_ - panel < 2 ? end_ - panel : 2, step, slab_end_of(x_, step)};
  }

  const Bf16Rows& x_;
  int64_t strip_, end_;
};

// The weights of a unit. Those of block types are rounded in one place, group by group between the
// products: of the next unit's first panel while the last rows are multiplied, each behind the last use
// of what it replaces, and of the second panel while the first rows are, kRoundAhead steps before its
// own use. So the nearest cache holds one unit, and no store misses it.
template <DType D>
class UnitWeights {
 public:
  explicit UnitWeights(const PanelMatrix& w)
      : w_(w),
        panel_bytes_(static_cast<int64_t>(w.layout.bytes)),
        group_bytes_(D == DType::kBF16 ? 0 : panel_bytes_ / w.layout.groups) {}

  WeightTiles tiles(const Unit& unit) const {
    if constexpr (D == DType::kBF16) {
      return {w_.panels + unit.panel * panel_bytes_ + unit.begin * kTileBytes, panel_bytes_};
    }
    return {rounded_.tile[0][0], static_cast<int64_t>(sizeof(rounded_.tile[0]))};
  }

  // Step `step` of panel 0 or 1 of a unit, if it has that.
  [[gnu::always_inline]] inline void round(const Unit& unit, int64_t panel, int64_t step) {
    if constexpr (D != DType::kBF16) {
      if (panel >= unit.panels || step >= unit.steps()) return;
      const std::byte* data = w_.panels + (unit.panel + panel) * panel_bytes_;
      const int64_t group = unit.begin + step;
      const std::byte* ahead = data + unit.panels * panel_bytes_ + group * group_bytes_;
      for (int64_t b = 0; b < group_bytes_; b += 64) _mm_prefetch(ahead + b, _MM_HINT_T1);
      round_group<D>(PanelLanes{data, w_.layout, 0}, group, rounded_.tile[panel][step]);
    }
  }

 private:
  const PanelMatrix& w_;
  int64_t panel_bytes_, group_bytes_;
  RoundedWeights<kBf16SlabSteps> rounded_;
};

template <DType D, int Lefts, int Panels>
void multiply_unit_rows(const PanelMatrix& w, const Bf16Rows& x, const MatmulOutput& out, const Unit& unit,
                        const Unit& next, int64_t row, UnitWeights<D>& weights) {
  const int64_t left = x.rows - row;
  UnitSums<Lefts, Panels> sums(w, out, unit, row, left < kPairRows ? left : kPairRows);
  const WeightTiles right = weights.tiles(unit);
  const RowTiles rows = row_tiles(x, row, x.rows, unit.begin);
  const auto multiply = [&](auto between) {
    multiply_steps<Rows::kStream, Lefts, Panels>(right, rows, unit.steps(), between);
  };
  sums.load();
  if (row == 0) {
    for (int64_t step = 0; step < kRoundAhead; ++step) weights.round(unit, 1, step);
    multiply([&](int64_t step) { weights.round(unit, 1, step + kRoundAhead); });
  } else if (left <= kPairRows) {
    multiply([&](int64_t step) { weights.round(next, 0, step); });
    for (int64_t step = unit.steps(); step < next.steps(); ++step) weights.round(next, 0, step);
  } else {
    multiply([](int64_t) {});
  }
  sums.store();
}

template <DType D, int Panels>
void multiply_unit(const PanelMatrix& w, const Bf16Rows& x, const MatmulOutput& out, const Unit& unit,
                   const Unit& next, UnitWeights<D>& weights) {
  for (int64_t row = 0; row < x.rows; row += kPairRows) {
    if (row + kRowBlock < x.rows) {
      multiply_unit_rows<D, 2, Panels>(w, x, out, unit, next, row, weights);
    } else {
      multiply_unit_rows<D, 1, Panels>(w, x, out, unit, next, row, weights);
    }
  }
}

// More than kPairRows rows.
template <DType D>
void multiply_many_rows(const PanelMatrix& w, const Bf16Rows& x, const MatmulOutput& out, int64_t begin,
                        int64_t end) {
  UnitWeights<D> weights(w);
  Units units(x, begin, end);
  Unit unit = units.first();
  for (int64_t step = 0; step < unit.steps(); ++step) weights.round(unit, 0, step);
  while (unit.panels > 0) {
    const Unit next = units.after(unit);
    if (unit.panels == 2) {
      multiply_unit<D, 2>(w, x, out, unit, next, weights);
    } else {
      multiply_unit<D, 1>(w, x, out, unit, next, weights);
    }
    unit = next;
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
