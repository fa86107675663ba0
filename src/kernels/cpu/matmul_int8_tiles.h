// Many rows times block types, written once over an instruction set V that multiplies bytes in one
// instruction (V::dot): a few panels are unpacked into the nearest cache, a slab of k at a time,
// for all rows; in a register tile every broadcast of x serves V::kTilePanels panels and every
// vector of codes V::kTileRows rows. The order of a result is that of matmul_int8_panels.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/matmul_int8_panels.h"

namespace lmdeploy::cpu {
namespace {

constexpr int64_t kMostSlabGroups = 10;
constexpr int64_t kStretchRows = 512;  // the most whose sums are kept between slabs

// What the arithmetic of a format needs beyond its codes.
struct TileForm {
  int halves;  // of a group, with a scale each
  bool min;
  bool start;
};

template <DType D>
constexpr TileForm kTileForm = {D == DType::kQ6_K ? 2 : 1, has_min(D), zero_slot(D) >= 0};

// A group of a panel.
template <TileForm kForm>
struct alignas(64) UnpackedGroup {
  std::byte codes[8][kPanelRows * 4];
  float factors[2 * kForm.halves + kForm.min][kPanelRows];

  float* scale(int half) { return factors[half]; }
  // Takes kDotBias off: -kDotBias * scale.
  float* unbias(int half) { return factors[kForm.halves + half]; }
  float* min() { return factors[2 * kForm.halves]; }
};

// Groups [first, first + count) of a few panels.
template <TileForm kForm>
struct UnpackedSlab {
  int64_t first, count;
  UnpackedGroup<kForm> (*panel)[kMostSlabGroups];
};

template <class V, DType D>
[[gnu::always_inline]] inline void unpack_group(const std::byte* panel, const PanelLayout& layout,
                                                int64_t g, UnpackedGroup<kTileForm<D>>& to) {
  for (int lane = 0; lane < kPanelRows; lane += V::kLanes) {
    const PanelLanes at{panel, layout, lane};
    typename V::Codes codes[8];
    unpack_codes<V, code_bits(D)>(at, g, codes);
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) V::store(to.codes[s] + 4 * lane, codes[s]);
    for (int half = 0; half < kTileForm<D>.halves; ++half) {
      const typename V::Float scale = group_scale<V, D>(at, g, half);
      V::store(to.scale(half) + lane, scale);
      V::store(to.unbias(half) + lane, V::mul(scale, V::set1(-kDotBiasFloat)));
    }
    if constexpr (has_min(D)) V::store(to.min() + lane, group_min<V, D>(at, g));
  }
}

template <class V, DType D>
void unpack_slab(const PanelMatrix& w, int64_t panel, int panels,
                 const UnpackedSlab<kTileForm<D>>& to) {
  const PanelLayout layout = w.layout;
  for (int i = 0; i < panels; ++i) {
    const std::byte* data = w.panels + (panel + i) * static_cast<int64_t>(layout.bytes);
    for (int64_t g = 0; g < to.count; ++g)
      unpack_group<V, D>(data, layout, to.first + g, to.panel[i][g]);
  }
}

// Memory to ask for while tiles are multiplied, `step` bytes with each of their groups.
struct Ahead {
  const std::byte* at;
  int64_t step;
};

// sums[panel] = rows m0 ... m0 + M of a block times the slab, added to those of the slabs before.
template <class V, TileForm kForm, int M, int P>
void add_tile(const UnpackedSlab<kForm>& w, const BlockRows& x, int m0, Ahead& ahead,
              ResultTile* sums) {
  constexpr int kSteps = 8 / kForm.halves;
  typename V::Float acc[M][P];
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      acc[m][p] = w.first == 0 ? V::zero() : V::load_f32(sums[p].value[m0 + m]);
    }
  }
  for (int64_t g = 0; g < w.count; ++g, ahead.at += ahead.step) {
    for (int64_t b = 0; b < ahead.step; b += 64) __builtin_prefetch(ahead.at + b);
    const int64_t i = (w.first + g) * x.rows + m0;
#pragma GCC unroll 2
    for (int half = 0; half < kForm.halves; ++half) {
      typename V::Int dot[M][P];
      const int64_t start = (kForm.halves * (w.first + g) + half) * x.rows + m0;
#pragma GCC unroll 4
      for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p)
          dot[m][p] = V::set1(kForm.start ? x.start[start + m] : kDotBias);
      }
#pragma GCC unroll 8
      for (int s = 0; s < kSteps; ++s) {
        typename V::Codes code[P];
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p) code[p] = V::load(w.panel[p][g].codes[half * kSteps + s]);
#pragma GCC unroll 4
        for (int m = 0; m < M; ++m) {
          const typename V::Codes four = V::broadcast4(x.codes + 32 * (i + m) + 16 * half + 4 * s);
#pragma GCC unroll 4
          for (int p = 0; p < P; ++p) dot[m][p] = V::dot(dot[m][p], code[p], four);
        }
      }
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) {
        const typename V::Float scale = V::load_f32(w.panel[p][g].scale(half));
        const typename V::Float unbias = V::load_f32(w.panel[p][g].unbias(half));
#pragma GCC unroll 4
        for (int m = 0; m < M; ++m) {
          const auto scaled = V::fma(V::bits_as_float(dot[m][p]), scale, unbias);
          acc[m][p] = V::fma(scaled, V::set1(x.scale[i + m]), acc[m][p]);
        }
      }
    }
    if constexpr (kForm.min) {
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) {
        const typename V::Float min = V::load_f32(w.panel[p][g].min());
#pragma GCC unroll 4
        for (int m = 0; m < M; ++m) acc[m][p] = V::fma(min, V::set1(x.sum[i + m]), acc[m][p]);
      }
    }
  }
#pragma GCC unroll 4
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) V::store(sums[p].value[m0 + m], acc[m][p]);
  }
}

template <class V, TileForm kForm, int P>
void add_block(const UnpackedSlab<kForm>& w, const BlockRows& x, Ahead& ahead, ResultTile* sums) {
  int m = 0;
  for (; m + V::kTileRows <= x.rows; m += V::kTileRows) {
    add_tile<V, kForm, V::kTileRows, P>(w, x, m, ahead, sums);
  }
  for (; m < x.rows; ++m) add_tile<V, kForm, 1, P>(w, x, m, ahead, sums);
}

// P panels times rows [from, to), at most kStretchRows; the first rows ask for the next P panels.
template <class V, DType D, int P>
void multiply_stretch(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out,
                      int64_t panel, int64_t from, int64_t to) {
  ResultTile sums[kStretchRows / kRowBlock][P];
  UnpackedGroup<kTileForm<D>> groups[P][kMostSlabGroups];
  const int64_t slabs = (w.layout.groups + kMostSlabGroups - 1) / kMostSlabGroups;
  const int64_t slab_groups = (w.layout.groups + slabs - 1) / slabs;
  const int64_t bytes = P * static_cast<int64_t>(w.layout.bytes);
  Ahead next{w.panels + (panel + P) * static_cast<int64_t>(w.layout.bytes),
             V::kTileRows * bytes / (kRowBlock * w.layout.groups)};
  Ahead nothing{};
  for (int64_t g = 0; g < w.layout.groups; g += slab_groups) {
    const int64_t left = w.layout.groups - g;
    const UnpackedSlab<kTileForm<D>> slab{g, left < slab_groups ? left : slab_groups, groups};
    unpack_slab<V, D>(w, panel, P, slab);
    ResultTile(*tiles)[P] = sums;
    for (int64_t row = from; row < to; row += kRowBlock, ++tiles) {
      const BlockRows rows = block_rows(x, D, row);
      add_block<V, kTileForm<D>, P>(slab, rows, row == from ? next : nothing, *tiles);
      if (g + slab.count < w.layout.groups) continue;
      for (int p = 0; p < P; ++p) {
        store_tile(w, out, panel + p, row, static_cast<int>(rows.rows), (*tiles)[p]);
      }
    }
  }
}

template <class V, DType D>
void multiply_many_rows(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out,
                        int64_t begin, int64_t end) {
  int64_t stretch = stretch_rows(w.k);
  if (stretch > kStretchRows) stretch = kStretchRows;
  for (int64_t from = 0; from < x.rows; from += stretch) {
    const int64_t to = from + stretch < x.rows ? from + stretch : x.rows;
    int64_t panel = begin;
    const auto run = [&]<int P>() {
      for (; panel + P <= end; panel += P) multiply_stretch<V, D, P>(w, x, out, panel, from, to);
    };
    static_assert(V::kTilePanels == 3);
    run.template operator()<3>();
    run.template operator()<2>();
    run.template operator()<1>();
  }
}

template <class V>
void multiply_int8_tiles(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out,
                         int64_t begin, int64_t end) {
  with_block_format(w.format, [&]<DType D>() { multiply_many_rows<V, D>(w, x, out, begin, end); });
}

}  // namespace
}  // namespace lmdeploy::cpu
