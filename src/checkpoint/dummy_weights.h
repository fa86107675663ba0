// Random weights that depend on a tensor's name and an element's index alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"

namespace lmdeploy {

// Rows [row_begin, row_begin + rows) and columns [col_begin, col_begin + cols) of a tensor whose
// rows have full_cols elements.
struct DummySlice {
  int64_t row_begin, rows, col_begin, cols, full_cols;
};

// The same as a recipe: element [r][c] of the slice is mean + stddev * hash_normal(key, first + r *
// row_elements + c).
struct DummyValues {
  uint64_t key;
  int64_t first, row_elements;
  float mean, stddev;
};

// The slice as rows * cols contiguous elements of `dtype` (f32, f16 or bf16). Element i of the
// whole tensor is mean + stddev * hash_normal(hash_name(name), i) in double, rounded to fp32, then
// to dtype.
std::vector<std::byte> dummy_values(std::string_view name, DType dtype, float mean, float stddev,
                                    const DummySlice& slice);

}  // namespace lmdeploy
