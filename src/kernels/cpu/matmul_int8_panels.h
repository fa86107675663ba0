// The vector kernel of block types, written once over an instruction set V (see matmul_scalar.cc
// for the meaning of its operations). Included by matmul_<isa>.cc, inside their own V.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/matmul_tile.h"

namespace lmdeploy::cpu {
namespace {

// The part of a panel that one vector of V covers: lanes [lane, lane + V::kLanes).
struct PanelLanes {
  const std::byte* panel;
  const PanelLayout& layout;
  int lane;
};

// Codes of the group's 8 steps, one byte each.
template <class V, int Bits>
[[gnu::always_inline]] inline void unpack_codes(const PanelLanes& at, int64_t g, typename V::Codes (&codes)[8]) {
  const std::byte* low = at.panel + g * (Bits == 8 ? 512 : 256) + at.lane * 4;
  if constexpr (Bits == 8) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) codes[s] = V::load(low + s * 64);
    return;
  }
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) {
    const typename V::Codes pair = V::load(low + v * 64);
    codes[v] = V::low_nibble(pair);
    codes[v + 4] = V::high_nibble(pair);
  }
  const std::byte* high = at.panel + at.layout.high + g * (Bits - 4) * 64 + at.lane * 4;
  if constexpr (Bits == 5) V::add_bit_planes(codes, V::load(high));
  if constexpr (Bits == 6) V::add_bit_pairs(codes, V::load(high), V::load(high + 64));
}

// Weight scale of 16 (q6_K) or 32 elements.
template <class V, DType D>
typename V::Float group_scale(const PanelLanes& at, int64_t g, int half) {
  const std::byte* scale = at.panel + at.layout.scale;
  if constexpr (D == DType::kQ6_K || is_k_format(D)) {
    const std::byte* d = at.panel + at.layout.super + (g / kSuperGroups * kPanelRows + at.lane) * 2;
    if constexpr (D == DType::kQ6_K) {
      return V::mul(V::load_f16(d), V::load_i8(scale + (2 * g + half) * kPanelRows + at.lane));
    }
    return V::mul(V::load_f16(d), V::load_i8(scale + g * kPanelRows + at.lane));
  }
  return V::load_f16(scale + (g * kPanelRows + at.lane) * 2);
}

template <class V, DType D>
typename V::Float group_min(const PanelLanes& at, int64_t g) {
  const std::byte* min = at.panel + at.layout.min;
  if constexpr (is_k_format(D)) {
    const std::byte* d = at.panel + at.layout.super_min + (g / kSuperGroups * kPanelRows + at.lane) * 2;
    return V::mul(V::load_f16(d), V::load_i8(min + g * kPanelRows + at.lane));
  }
  return V::load_f16(min + (g * kPanelRows + at.lane) * 2);
}

// Cache lines from one group of a panel to the next, rounded up.
constexpr int group_lines(DType format) {
  const int bits = code_bits(format), scale = is_k_format(format) ? 16 : 32;
  const int codes = bits == 8 ? 512 : 256 + (bits - 4) * 64;
  const int supers = is_k_format(format) ? 8 : format == DType::kQ6_K ? 4 : 0;
  return (codes + scale + (has_min(format) ? scale : 0) + supers + 63) / 64;
}

// Lines for the second-level cache. Unrolled: this is done for each group that is multiplied.
template <int Lines>
[[gnu::always_inline]] inline void prefetch_l2(const std::byte* at) {
#pragma GCC unroll 9
  for (int line = 0; line < Lines; ++line) __builtin_prefetch(at + 64 * line, 0, 2);
}

// The rows of one block of QuantizedRows, from row m on.
struct BlockRows {
  const int8_t* codes;
  const float* scale;
  const float* sum;
  const int32_t* start;  // null: kDotBias
  int64_t rows;          // of the block: the distance between groups
};

// Rows m0..m0+M of a block times one panel. `next`: a panel to prefetch meanwhile, or null.
template <class V, DType D, int M>
void multiply_tile(const std::byte* panel, const PanelLayout& layout, const BlockRows& x, int m0,
                   const std::byte* next, ResultTile& tile) {
  constexpr int kVectors = kPanelRows / V::kLanes;
  constexpr int kHalves = D == DType::kQ6_K ? 2 : 1;
  constexpr int kSteps = 8 / kHalves;
  constexpr int kBits = code_bits(D);
  constexpr int kDots = M > 8 ? 4 : M;  // rows multiplied together: all that the registers hold
  constexpr bool kStart = zero_slot(D) >= 0 && !(kBits == 8 && V::kSignedBytes);
  const int64_t step = static_cast<int64_t>(layout.bytes) / layout.groups;
  typename V::Float acc[M][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < M * kVectors; ++i) acc[i / kVectors][i % kVectors] = V::zero();
  for (int64_t g = 0; g < layout.groups; ++g) {
    if (next != nullptr) prefetch_l2<group_lines(D)>(next + g * step);
    const int64_t i = g * x.rows + m0;
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const PanelLanes at{panel, layout, v * V::kLanes};
      typename V::Codes codes[8];
      unpack_codes<V, kBits>(at, g, codes);
#pragma GCC unroll 2
      for (int half = 0; half < kHalves; ++half) {
        const typename V::Float scale = group_scale<V, D>(at, g, half);
        const typename V::Float unbias = V::mul(scale, V::set1(-kDotBiasFloat));
#pragma GCC unroll 4
        for (int part = 0; part < M; part += kDots) {
          typename V::Int dot[kDots];
#pragma GCC unroll 8
          for (int m = 0; m < kDots; ++m) {
            const int64_t row = (kHalves * g + half) * x.rows + m0 + part + m;
            dot[m] = V::set1(kStart ? x.start[row] : kDotBias);
          }
          V::template add_dots<kBits, kSteps, kDots>(codes + half * kSteps,
                                                     x.codes + (i + part) * 32 + half * 16, dot);
#pragma GCC unroll 8
          for (int m = 0; m < kDots; ++m) {
            const auto scaled = V::fma(V::bits_as_float(dot[m]), scale, unbias);
            acc[part + m][v] = V::fma(scaled, V::set1(x.scale[i + part + m]), acc[part + m][v]);
          }
        }
      }
      if constexpr (has_min(D)) {
        const typename V::Float min = group_min<V, D>(at, g);
#pragma GCC unroll 16
        for (int m = 0; m < M; ++m) acc[m][v] = V::fma(min, V::set1(x.sum[i + m]), acc[m][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) V::store(tile.value[m] + v * V::kLanes, acc[m][v]);
  }
}

template <class V, DType D>
void multiply_block(const PanelMatrix& w, const BlockRows& x, int64_t panel, const std::byte* next,
                    int64_t row_begin, const MatmulOutput& out) {
  const std::byte* data = w.panels + panel * static_cast<int64_t>(w.layout.bytes);
  ResultTile tile;
  const auto run = [&]<int M>(int& m) {
    for (; m + M <= x.rows; m += M) {
      multiply_tile<V, D, M>(data, w.layout, x, m, m == 0 ? next : nullptr, tile);
      store_tile(w, out, panel, row_begin + m, M, tile);
    }
  };
  int m = 0;
  if constexpr (V::kMaxRows >= 16) run.template operator()<16>(m);
  if constexpr (V::kMaxRows >= 8) run.template operator()<8>(m);
  run.template operator()<4>(m);
  run.template operator()<2>(m);
  run.template operator()<1>(m);
}

inline BlockRows block_rows(const QuantizedRows& x, DType format, int64_t begin) {
  const int slot = zero_slot(format);
  const int64_t i = begin * x.groups;
  const int64_t rows = x.rows - begin < kRowBlock ? x.rows - begin : kRowBlock;
  const int32_t* start = nullptr;
  if (slot >= 0) start = x.start[slot] + (format == DType::kQ6_K ? 2 * i : i);
  return {x.codes + 32 * i, x.scale + i, x.sum + i, start, rows};
}

// Rows are taken in stretches whose codes stay in the second-level cache while panels stream by.
inline int64_t stretch_rows(int64_t k) {
  constexpr int64_t kCacheBytes = 768 << 10;
  const int64_t rows = kCacheBytes / k / kRowBlock * kRowBlock;
  return rows < kRowBlock ? kRowBlock : rows;
}

template <class V, DType D>
void multiply_panels(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out, int64_t begin,
                     int64_t end) {
  const int64_t stretch = stretch_rows(w.k);
  for (int64_t from = 0; from < x.rows; from += stretch) {
    const int64_t to = from + stretch < x.rows ? from + stretch : x.rows;
    for (int64_t panel = begin; panel < end; ++panel) {
      const std::byte* next =
          panel + 1 < end ? w.panels + (panel + 1) * static_cast<int64_t>(w.layout.bytes) : nullptr;
      for (int64_t row = from; row < to; row += kRowBlock) {
        multiply_block<V, D>(w, block_rows(x, D, row), panel, row == from ? next : nullptr, row, out);
      }
    }
  }
}

// Calls fn<D>() for a block type.
template <class Fn>
void with_block_format(DType format, const Fn& fn) {
  switch (format) {
    case DType::kQ4_0: return fn.template operator()<DType::kQ4_0>();
    case DType::kQ4_1: return fn.template operator()<DType::kQ4_1>();
    case DType::kQ5_0: return fn.template operator()<DType::kQ5_0>();
    case DType::kQ5_1: return fn.template operator()<DType::kQ5_1>();
    case DType::kQ8_0: return fn.template operator()<DType::kQ8_0>();
    case DType::kQ4_K: return fn.template operator()<DType::kQ4_K>();
    case DType::kQ5_K: return fn.template operator()<DType::kQ5_K>();
    case DType::kQ6_K: return fn.template operator()<DType::kQ6_K>();
    default: __builtin_unreachable();  // matmul.cc sends block types here
  }
}

template <class V>
void multiply_int8(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out, int64_t begin,
                   int64_t end) {
  with_block_format(w.format, [&]<DType D>() { multiply_panels<V, D>(w, x, out, begin, end); });
}

}  // namespace
}  // namespace lmdeploy::cpu
