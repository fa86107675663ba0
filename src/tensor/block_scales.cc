#include "tensor/block_scales.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace lmdeploy {

namespace {

// The values of the 256 codes: a sign, four bits of exponent (bias 7), three of mantissa. No
// infinity; the largest code of either sign is NaN.
const std::array<float, 256>& e4m3_values() {
  static const std::array<float, 256> kValues = [] {
    std::array<float, 256> values{};
    for (int code = 0; code < 256; ++code) {
      const int exponent = code >> 3 & 15, mantissa = code & 7;
      float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                  : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
      if ((code & 0x7F) == 0x7F) value = std::numeric_limits<float>::quiet_NaN();
      values[static_cast<size_t>(code)] = code < 128 ? value : -value;
    }
    return values;
  }();
  return kValues;
}

template <class T>
float element(const std::byte* data, int64_t index) {
  T value;
  std::memcpy(&value, data + static_cast<size_t>(index) * sizeof(T), sizeof(T));
  return to_float(value);
}

float scale_at(const BlockScales& scales, int64_t index) {
  switch (scales.dtype) {
    case DType::kBF16: return element<bf16>(scales.data, index);
    case DType::kF16: return element<f16>(scales.data, index);
    default: return element<float>(scales.data, index);
  }
}

}  // namespace

void dequantize_fp8_row(const std::byte* codes, int64_t row, int64_t count,
                        const BlockScales& scales, float* out) {
  const std::array<float, 256>& values = e4m3_values();
  const int64_t first_block = (scales.first_row + row) / scales.rows * scales.across;
  for (int64_t c = 0; c < count;) {
    const int64_t block = (scales.first_column + c) / scales.columns;
    const int64_t end = std::min(count, (block + 1) * scales.columns - scales.first_column);
    const float scale = scale_at(scales, first_block + block);
    for (; c < end; ++c) {
      out[c] = to_float(to_bf16(values[std::to_integer<size_t>(codes[c])] * scale));
    }
  }
}

}  // namespace lmdeploy
