// Between rows of a file and panels of packed_layout.h, in plain C++ for every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/packed_layout.h"

namespace lmdeploy::cpu {

// Writes row `row` (0..15) of a zeroed panel from a file's row of the same block type.
void pack_block_row(DType format, const PanelLayout& layout, const std::byte* source, int row,
                    std::byte* panel);

// The same from fp32 values, for the plain types f32, f16 and bf16 (rounded to nearest even).
void pack_plain_row(DType format, int64_t k, const float* source, int row, std::byte* panel);

// Row `row` of a panel as fp32 [k].
void unpack_panel_row(DType format, const PanelLayout& layout, int64_t k, const std::byte* panel,
                      int row, float* out);

}  // namespace lmdeploy::cpu
