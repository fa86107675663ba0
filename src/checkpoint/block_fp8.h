// Matrices of fp8 (e4m3) with a scale a block, as DeepSeek V3 is published (models.md 4.5): element
// (r, c) is code * scale[r / rows][c / columns]. They are read as bf16.
#pragma once

#include <map>
#include <string>

#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/problem_list.h"

namespace lmdeploy {

// Whether config.json says that the matrices are stored so.
bool has_block_fp8(const json::object& config);

// Gives every fp8 matrix NAME.weight its scales, f32 NAME.weight_scale_inv, which leave `tensors`.
// A matrix whose scales are missing or of another shape is a problem, as are blocks that the
// configuration does not say (weight_block_size).
void attach_block_scales(const json::object& config,
                         std::map<std::string, TensorRecord, std::less<>>& tensors,
                         ProblemList& problems);

// A part of a matrix.
struct MatrixPart {
  int64_t row_begin, rows, col_begin, cols;
};

// The part of a record with scales, to out [rows, cols].
void dequantize_block_fp8(const TensorRecord& record, const MatrixPart& part, bf16* out);

}  // namespace lmdeploy
