// Matrices of fp8 (e4m3) whose elements share scales: one for the matrix, for each row or for each
// block (docs/formats/safetensors.md). They are read as bf16.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy {

// Element (r, c) of a matrix is its code times the scale of block (r / rows, c / columns).
struct BlockScales {
  const std::byte* data = nullptr;  // row-major, one a block; may be unaligned. nullptr: none
  DType dtype = DType::kF32;        // or bf16, f16
  int64_t rows = 0, columns = 0;    // of a block
  int64_t across = 0;               // blocks side by side
  // Of a part of the matrix: where it begins there. Its rows and columns count from here.
  int64_t first_row = 0, first_column = 0;
};

// Row `row` of a part: `count` codes to the bf16 numbers that they stand for.
void dequantize_fp8_row(const std::byte* codes, int64_t row, int64_t count,
                        const BlockScales& scales, float* out);

}  // namespace lmdeploy
