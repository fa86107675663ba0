// The loop over rows and groups of quantize_rows, for each instruction set's quantize_group.
// Included by the quantize_rows*.cc files alone, inside an unnamed namespace.
#pragma once

#include <cstdint>

#include "kernels/cpu/quantize_rows.h"

namespace lmdeploy::cpu {
namespace {

struct QuantizedGroup {
  float scale;
  int32_t half_sum[2];  // of the codes of elements 0-15 and 16-31
};

inline void store_starts(const QuantizedRows& out, int64_t index, int64_t rows, int64_t row,
                         const QuantizedGroup& group) {
  constexpr int32_t kZero[kZeroSlots] = {8, 16, 32, 128};
  const int32_t sum = group.half_sum[0] + group.half_sum[1];
  for (int slot = 0; slot < kZeroSlots; ++slot) {
    if (out.start[slot] == nullptr) continue;
    if (slot == zero_slot(DType::kQ6_K)) {
      out.start[slot][2 * index + row] = kDotBias - kZero[slot] * group.half_sum[0];
      out.start[slot][2 * index + rows + row] = kDotBias - kZero[slot] * group.half_sum[1];
    } else {
      out.start[slot][index + row] = kDotBias - kZero[slot] * sum;
    }
  }
}

// quantize_group(const float* x, int8_t* codes) -> QuantizedGroup.
template <class QuantizeGroup>
void quantize_blocks(const float* x, int64_t stride, int64_t begin, int64_t end,
                     const QuantizedRows& out, QuantizeGroup quantize_group) {
  for (int64_t block = begin; block < end; block += kRowBlock) {
    const int64_t rows = end - block < kRowBlock ? end - block : kRowBlock;
    for (int64_t row = 0; row < rows; ++row) {
      const float* values = x + (block + row) * stride;
      for (int64_t g = 0; g < out.groups; ++g) {
        const int64_t index = block * out.groups + g * rows;
        const QuantizedGroup group =
            quantize_group(values + g * 32, out.codes + (index + row) * 32);
        out.scale[index + row] = group.scale;
        out.sum[index + row] =
            group.scale * static_cast<float>(group.half_sum[0] + group.half_sum[1]);
        store_starts(out, index, rows, row, group);
      }
    }
  }
}

}  // namespace
}  // namespace lmdeploy::cpu
