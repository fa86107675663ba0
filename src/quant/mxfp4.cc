#include "quant/mxfp4.h"

#include <array>
#include <cmath>
#include <limits>

namespace lmdeploy {

namespace {

constexpr std::array<float, 16> kCodes = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                          -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

float scale_of(std::byte code) {
  const int exponent = std::to_integer<int>(code);
  if (exponent == 255) return std::numeric_limits<float>::quiet_NaN();
  return std::ldexp(1.0f, exponent - 127);
}

}  // namespace

void dequantize_mxfp4(const std::byte* codes, const std::byte* scales, int64_t count, bf16* out) {
  for (int64_t block = 0; block < count; ++block) {
    const float scale = scale_of(scales[block]);
    std::array<bf16, kCodes.size()> values;
    for (size_t i = 0; i < values.size(); ++i) values[i] = to_bf16(kCodes[i] * scale);
    for (int64_t i = 0; i < kMxfp4BlockBytes; ++i) {
      const auto pair = std::to_integer<unsigned>(*codes++);
      *out++ = values[pair & 15];
      *out++ = values[pair >> 4];
    }
  }
}

}  // namespace lmdeploy
