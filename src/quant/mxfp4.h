// MXFP4 as gpt-oss is published in (OCP Microscaling Formats 1.0): 32 elements of e2m1 share a
// scale, a power of two.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy {

inline constexpr int64_t kMxfp4Block = 32;                     // elements
inline constexpr int64_t kMxfp4BlockBytes = kMxfp4Block / 2;   // besides the scale's one

// count blocks: codes 16 bytes each, element 2 i in the low half of byte i, and scales a byte each
// (e8m0: 2^(s - 127)) to out[32 * count]. bf16 holds the values exactly, but at the far ends of the
// scales' range. Scale 255 is NaN.
void dequantize_mxfp4(const std::byte* codes, const std::byte* scales, int64_t count, bf16* out);

}  // namespace lmdeploy
