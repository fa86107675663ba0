// Shared by the kernel files of all instruction sets: where a tile of results goes.
// Everything here is internal to the including file, so that no copy built for one instruction set
// is linked into another's code.
#pragma once

#include <cstdint>

#include "kernels/cpu/matmul_kernels.h"

namespace lmdeploy::cpu {
namespace {

// Results of up to 16 rows of x for one panel.
struct alignas(64) ResultTile {
  float value[kRowBlock][kPanelRows];
};

// Rows of the block of x that begins at `row`: the distance between its steps, in pieces of 32.
inline int64_t bf16_block_rows(const Bf16Rows& x, int64_t row) {
  return x.rows - row < kRowBlock ? x.rows - row : kRowBlock;
}

// Where step `step` of that block lies.
inline uint16_t* bf16_step(const Bf16Rows& x, int64_t row, int64_t step) {
  const int64_t slab = step / x.slab_steps * x.slab_steps;
  const int64_t steps = x.steps - slab < x.slab_steps ? x.steps - slab : x.slab_steps;
  return x.data + 32 * (slab * x.rows + row * steps + (step - slab) * bf16_block_rows(x, row));
}

// Writes rows [0, rows) of the tile as rows row_begin... of the output, columns of panel `panel`.
inline void store_tile(const PanelMatrix& w, const MatmulOutput& out, int64_t panel, int64_t row_begin,
                       int rows, ResultTile& tile) {
  const int64_t column = panel * kPanelRows;
  const int columns = w.rows - column < kPanelRows ? static_cast<int>(w.rows - column) : kPanelRows;
  for (int m = 0; m < rows; ++m) {
    float* to = out.data + (row_begin + m) * out.stride + column;
    float* from = tile.value[m];
    if (out.bias != nullptr) {
      for (int n = 0; n < columns; ++n) from[n] += out.bias[column + n];
    }
    if (columns == kPanelRows && out.add) {
      for (int n = 0; n < kPanelRows; ++n) to[n] += from[n];
    } else if (columns == kPanelRows) {
      for (int n = 0; n < kPanelRows; ++n) to[n] = from[n];
    } else {
      for (int n = 0; n < columns; ++n) to[n] = out.add ? to[n] + from[n] : from[n];
    }
  }
}

}  // namespace
}  // namespace lmdeploy::cpu
