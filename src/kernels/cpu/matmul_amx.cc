// AMX int8 tiles. A slab of a panel is unpacked to signed codes once and swept over all blocks of
// 16 rows; a tile product covers one scale group, whose int32 results are scaled into fp32 sums in
// the order of matmul_int8_panels.h, so both give the same bits. Few rows go to that kernel.
#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/dequant.h"
#include "kernels/cpu/matmul_int8_panels.h"
#include "kernels/cpu/matmul_vector_avx512.h"

namespace lmdeploy::cpu {

namespace {

constexpr int kSlabGroups = 32;      // 16 KiB of codes: stays in the first-level cache
constexpr int64_t kSweepRows = 256;  // rows whose sums are kept between slabs

// Groups [begin, end) of a panel, unpacked. A unit is what has one scale: a group, or half of q6_K's.
struct alignas(64) Slab {
  int8_t codes[kSlabGroups * 8][64];  // [unit][step][row][element]
  float scale[kSlabGroups * 2][kPanelRows];
  float min[kSlabGroups][kPanelRows];
};

template <DType D>
constexpr int kUnitsPerGroup = D == DType::kQ6_K ? 2 : 1;

template <DType D>
void unpack_slab(const std::byte* panel, const PanelLayout& layout, int64_t begin, int64_t end, Slab& slab) {
  constexpr int kZero = zero_code(D);
  const __m512i zero = _mm512_set1_epi8(static_cast<char>(kZero));
  const PanelLanes at{panel, layout, 0};
  for (int64_t g = begin; g < end; ++g) {
    const int64_t to = g - begin;
    __m512i codes[8];
    unpack_codes<Avx512Vector, code_bits(D)>(at, g, codes);
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const __m512i code = kZero == 0 ? codes[s] : _mm512_sub_epi8(codes[s], zero);
      _mm512_store_si512(slab.codes[to * 8 + s], code);
    }
    for (int half = 0; half < kUnitsPerGroup<D>; ++half) {
      _mm512_store_ps(slab.scale[to * kUnitsPerGroup<D> + half], group_scale<Avx512Vector, D>(at, g, half));
    }
    if constexpr (has_min(D)) _mm512_store_ps(slab.min[to], group_min<Avx512Vector, D>(at, g));
  }
}

// One block of rows of x, from the slab's first group on.
struct BlockPart {
  const int8_t* codes;  // [group][rows][32]
  const float* scale;   // [group][rows]
  const float* sum;
  int64_t rows;
};

constexpr int kBatch = 2;  // units multiplied together

// kDotBias + the int32 results of a batch: [unit][row of x][weight row]. Two of them in turn fill 4 KiB: with more,
// loads of one would wait for stores to the other whose addresses have the same low 12 bits.
struct alignas(64) Dots {
  int32_t value[kBatch][kRowBlock][kPanelRows];
};

template <DType D, int Result, int X, int Weight>
void multiply_unit(const Slab& slab, const BlockPart& x, int64_t unit) {
  constexpr int kUnits = kUnitsPerGroup<D>;
  alignas(64) static constexpr int32_t kBias[kPanelRows] = {
      kDotBias, kDotBias, kDotBias, kDotBias, kDotBias, kDotBias, kDotBias, kDotBias,
      kDotBias, kDotBias, kDotBias, kDotBias, kDotBias, kDotBias, kDotBias, kDotBias};
  const int8_t* rows = x.codes + unit / kUnits * x.rows * 32 + unit % kUnits * 16;
  tile_load<Result>(kBias, 0);  // the same for all rows
  tile_load<X>(rows, 32);
  tile_load<Weight>(slab.codes[unit * (8 / kUnits)], 64);
  tile_dot_int8<Result, X, Weight>();
}

// Units [unit, end) of the slab, at most kBatch.
template <DType D>
void multiply_batch(const Slab& slab, const BlockPart& x, int64_t unit, int64_t end, Dots& dots) {
  multiply_unit<D, 0, 4, 6>(slab, x, unit);
  if (unit + 1 < end) multiply_unit<D, 1, 5, 7>(slab, x, unit + 1);
  tile_store<0>(dots.value[0], 64);
  if (unit + 1 < end) tile_store<1>(dots.value[1], 64);
}

template <DType D, int Rows>
void scale_unit(const Slab& slab, const BlockPart& x, int64_t unit, const int32_t (&dots)[kRowBlock][kPanelRows],
                __m512 (&acc)[Rows]) {
  const int64_t g = unit / kUnitsPerGroup<D>;
  const __m512 scale = _mm512_load_ps(slab.scale[unit]);
  const __m512 unbias = _mm512_mul_ps(scale, _mm512_set1_ps(-kDotBiasFloat));
#pragma GCC unroll 16
  for (int m = 0; m < Rows; ++m) {
    const __m512 biased = _mm512_castsi512_ps(_mm512_load_si512(dots[m]));
    const __m512 scaled = _mm512_fmadd_ps(biased, scale, unbias);
    acc[m] = _mm512_fmadd_ps(scaled, _mm512_set1_ps(x.scale[g * x.rows + m]), acc[m]);
  }
  if constexpr (has_min(D)) {
    const __m512 min = _mm512_load_ps(slab.min[g]);
#pragma GCC unroll 16
    for (int m = 0; m < Rows; ++m) {
      acc[m] = _mm512_fmadd_ps(min, _mm512_set1_ps(x.sum[g * x.rows + m]), acc[m]);
    }
  }
}

// Adds `groups` groups of the slab to the block's sums. Tile products run a batch ahead of scaling.
template <DType D, int Rows>
void multiply_slab(const Slab& slab, int64_t groups, const BlockPart& x, ResultTile& sums) {
  const int64_t units = groups * kUnitsPerGroup<D>;
  Dots dots[2];
  __m512 acc[Rows];
#pragma GCC unroll 16
  for (int m = 0; m < Rows; ++m) acc[m] = _mm512_load_ps(sums.value[m]);
  multiply_batch<D>(slab, x, 0, units, dots[0]);
  for (int64_t unit = 0; unit < units; unit += kBatch) {
    const int64_t next = unit + kBatch;
    if (next < units) multiply_batch<D>(slab, x, next, units, dots[next / kBatch % 2]);
    const Dots& ready = dots[unit / kBatch % 2];
    for (int64_t i = 0; i < kBatch && unit + i < units; ++i) {
      scale_unit<D, Rows>(slab, x, unit + i, ready.value[i], acc);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < Rows; ++m) _mm512_store_ps(sums.value[m], acc[m]);
}

// Rows [from, to) times one panel; `from` is a block's beginning.
template <DType D>
void sweep_rows(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out, int64_t panel,
                int64_t from, int64_t to) {
  const std::byte* data = w.panels + panel * static_cast<int64_t>(w.layout.bytes);
  Slab slab;
  ResultTile sums[kSweepRows / kRowBlock];
  for (ResultTile& tile : sums) {
    for (auto& row : tile.value) _mm512_store_ps(row, _mm512_setzero_ps());
  }
  for (int64_t g = 0; g < x.groups; g += kSlabGroups) {
    const int64_t groups = x.groups - g < kSlabGroups ? x.groups - g : kSlabGroups;
    unpack_slab<D>(data, w.layout, g, g + groups, slab);
    for (int64_t row = from; row < to; row += kRowBlock) {
      const BlockRows block = block_rows(x, D, row);
      const int64_t i = g * block.rows;
      const BlockPart part{block.codes + 32 * i, block.scale + i, block.sum + i, block.rows};
      ResultTile& tile = sums[(row - from) / kRowBlock];
      if (block.rows > 8) {
        multiply_slab<D, 16>(slab, groups, part, tile);
      } else {
        multiply_slab<D, 8>(slab, groups, part, tile);
      }
    }
  }
  for (int64_t row = from; row < to; row += kRowBlock) {
    const int rows = static_cast<int>(to - row < kRowBlock ? to - row : kRowBlock);
    store_tile(w, out, panel, row, rows, sums[(row - from) / kRowBlock]);
  }
}

template <DType D>
void sweep_panels(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out, int64_t begin,
                  int64_t end) {
  constexpr int kUnits = kUnitsPerGroup<D>;
  const TileScope tiles({.rows = kRowBlock, .row_bytes = 32 / kUnits}, {.rows = 8 / kUnits, .row_bytes = 64});
  for (int64_t from = 0; from < x.rows; from += kSweepRows) {
    const int64_t to = from + kSweepRows < x.rows ? from + kSweepRows : x.rows;
    for (int64_t panel = begin; panel < end; ++panel) sweep_rows<D>(w, x, out, panel, from, to);
  }
}

}  // namespace

void int8_panels_amx(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out, int64_t begin,
                     int64_t end) {
  constexpr int64_t kFewRows = 32;  // below, unpacking a slab and moving tiles costs more than it saves
  if (x.rows < kFewRows) return int8_panels_avx512vnni(w, x, out, begin, end);
  switch (w.format) {
    case DType::kQ4_0: return sweep_panels<DType::kQ4_0>(w, x, out, begin, end);
    case DType::kQ4_1: return sweep_panels<DType::kQ4_1>(w, x, out, begin, end);
    case DType::kQ5_0: return sweep_panels<DType::kQ5_0>(w, x, out, begin, end);
    case DType::kQ5_1: return sweep_panels<DType::kQ5_1>(w, x, out, begin, end);
    case DType::kQ8_0: return sweep_panels<DType::kQ8_0>(w, x, out, begin, end);
    case DType::kQ4_K: return sweep_panels<DType::kQ4_K>(w, x, out, begin, end);
    case DType::kQ5_K: return sweep_panels<DType::kQ5_K>(w, x, out, begin, end);
    case DType::kQ6_K: return sweep_panels<DType::kQ6_K>(w, x, out, begin, end);
    default: __builtin_unreachable();  // matmul.cc sends block types here
  }
}

}  // namespace lmdeploy::cpu
