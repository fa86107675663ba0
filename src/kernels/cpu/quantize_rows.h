// Activations as int8 in groups of 32, in the order that the packed matmul kernels read.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy::cpu {

inline constexpr int kRowBlock = 16;  // rows that lie together: one AMX tile

// Kernels add a dot product to this bit pattern, 1.5 * 2^23 as a float: an integer |dot| < 2^22 on
// top of it is the float 1.5 * 2^23 + dot, which one fma turns into scale * dot, rounded once.
inline constexpr int32_t kDotBias = 0x4B400000;
inline constexpr float kDotBiasFloat = 12582912.0f;

// Weight codes are unsigned, so their zero code z is taken off through sums of activation codes.
inline constexpr int kZeroSlots = 4;
// Index of format's zero code (8, 16, 32, 128) in QuantizedRows::start; -1: the format has none.
constexpr int zero_slot(DType format) {
  switch (format) {
    case DType::kQ4_0: return 0;
    case DType::kQ5_0: return 1;
    case DType::kQ6_K: return 2;
    case DType::kQ8_0: return 3;
    default: return -1;
  }
}

// Row t, group g has scale = absmax / 127 and codes = x / scale, rounded to nearest even. NaN or
// infinity in a group makes its scale NaN or infinite, so they reach the result.
//
// Rows lie in blocks of 16; a block of R rows (the last may have fewer) that begins at row b has
// for group g, at index i = b * groups + g * R,
//   codes        [R][32] at codes + 32 * i
//   scale, sum   [R]     at scale + i, sum + i (scale * sum of the codes)
//   start        [R]     at start[slot] + i: kDotBias - zero * sum of the codes;
//                [2][R]  at start[slot] + 2 * i for q6_K, whose scales hold for 16 elements
// Only the slots that the weight's formats need are there.
struct QuantizedRows {
  int64_t rows = 0;
  int64_t groups = 0;
  int8_t* codes = nullptr;
  float* scale = nullptr;
  float* sum = nullptr;
  int32_t* start[kZeroSlots] = {};
};

// Quantizes rows [begin, end) of `x` (rows `stride` floats apart); begin is a multiple of kRowBlock,
// end too or the number of rows.
using QuantizeRows = void (*)(const float* x, int64_t stride, int64_t begin, int64_t end,
                              const QuantizedRows& out);

void quantize_rows_scalar(const float* x, int64_t stride, int64_t begin, int64_t end,
                          const QuantizedRows& out);
void quantize_rows_avx2(const float* x, int64_t stride, int64_t begin, int64_t end,
                        const QuantizedRows& out);
void quantize_rows_avx512(const float* x, int64_t stride, int64_t begin, int64_t end,
                          const QuantizedRows& out);

}  // namespace lmdeploy::cpu
