// tile_gemm: the small matrix product of attention, C = A B or C += A B, for matrices that stay in the
// cache. Each element of C is one chain of fused multiply-adds in the order of k, whatever the
// number of rows and columns: that is what makes a row's result independent of its company.
#pragma once

#include <cstdint>

namespace lmdeploy::cpu {

struct TileGemm {
  const float* a;        // [rows, k], rows lda apart
  const float* b;        // [k, columns], rows ldb apart
  float* c;              // [rows, columns], rows ldc apart
  int64_t lda, ldb, ldc;
  int rows, columns;     // columns: a multiple of V::kLanes
  int k_begin, k_end;    // the part of k that counts
  bool add = false;      // to what is in C
};

template <class V, int kRows, int kVectors>
inline void tile_gemm_registers(const TileGemm& g, int row, int column) {
  V acc[kRows][kVectors];
  const float* a = g.a + row * g.lda;
  const float* b = g.b + column;
  float* c = g.c + row * g.ldc + column;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      acc[r][v] = g.add ? V::load(c + r * g.ldc + v * V::kLanes) : V::zero();
    }
  }
  for (int k = g.k_begin; k < g.k_end; ++k) {
    V right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) right[v] = V::load(b + k * g.ldb + v * V::kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const V left = V::all(a[r * g.lda + k]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(left, right[v], acc[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[r][v].store(c + r * g.ldc + v * V::kLanes);
  }
}

template <class V, int kVectors>
inline void tile_gemm_rows(const TileGemm& g, int column) {
  int row = 0;
  for (; row + 6 <= g.rows; row += 6) tile_gemm_registers<V, 6, kVectors>(g, row, column);
  switch (g.rows - row) {
    case 5: return tile_gemm_registers<V, 5, kVectors>(g, row, column);
    case 4: return tile_gemm_registers<V, 4, kVectors>(g, row, column);
    case 3: return tile_gemm_registers<V, 3, kVectors>(g, row, column);
    case 2: return tile_gemm_registers<V, 2, kVectors>(g, row, column);
    case 1: return tile_gemm_registers<V, 1, kVectors>(g, row, column);
  }
}

template <class V>
inline void tile_gemm(const TileGemm& g) {
  constexpr int kWide = V::kTileVectors * V::kLanes;
  int column = 0;
  for (; column + kWide <= g.columns; column += kWide)
    tile_gemm_rows<V, V::kTileVectors>(g, column);
  for (; column < g.columns; column += V::kLanes) tile_gemm_rows<V, 1>(g, column);
}

}  // namespace lmdeploy::cpu
