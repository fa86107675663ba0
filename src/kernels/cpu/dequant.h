// GGUF blocks taken apart (models.md 4.7): what packing, embedding and the plain matmul read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy::cpu {

// Elements that share an activation scale; every block is a whole number of groups.
inline constexpr int kGroup = 32;

// 32 consecutive elements of a row. Element i is
//   d * sub_scale[i / 16] * (code[i] - zero_code(format)) + min * sub_min.
struct BlockGroup {
  uint8_t code[kGroup];
  f16 d;
  f16 min;  // 0 for formats without; the K formats subtract theirs, so it is stored negated
  int8_t sub_scale[2];
  uint8_t sub_min;

  // Exact: 11 bits of mantissa times at most 8.
  float scale(int half) const { return to_float(d) * static_cast<float>(sub_scale[half]); }
  float offset() const { return to_float(min) * static_cast<float>(sub_min); }
};

// The code that stands for zero: 8 for q4_0, 128 for q8_0 (whose codes are the stored int8 + 128).
// In files built for one instruction set in constant expressions alone (kernels/cpu/packed_layout.h).
constexpr int zero_code(DType format) {
  switch (format) {
    case DType::kQ4_0: return 8;
    case DType::kQ5_0: return 16;
    case DType::kQ6_K: return 32;
    case DType::kQ8_0: return 128;
    default: return 0;
  }
}

// Group `group` of a row of blocks. `row` may be unaligned.
void decode_group(DType format, const std::byte* row, int64_t group, BlockGroup& out);

// `k` elements of a row of any block type, f32, f16 or bf16. `row` may be unaligned.
void dequantize_row(DType format, const std::byte* row, int64_t k, float* out);

}  // namespace lmdeploy::cpu
