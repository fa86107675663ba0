#include <bit>
#include <cmath>

#include "kernels/cpu/quantize_rows_driver.h"

namespace lmdeploy::cpu {

namespace {

void quantize_group(const float* const (&from)[1], int8_t* codes, QuantizedGroups<1>& group) {
  const float* x = from[0];
  uint32_t largest = 0;  // bits of |x| order as the numbers do, infinity and NaN last
  for (int i = 0; i < 32; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(x[i]) & 0x7FFFFFFF;
    if (bits > largest) largest = bits;
  }
  const float absmax = std::bit_cast<float>(largest);
  const float inverse = largest == 0 ? 0.0f : 127.0f / absmax;
  group = {{absmax / 127.0f}, {}};
  for (int i = 0; i < 32; ++i) {
    const float code = std::nearbyint(x[i] * inverse);
    codes[i] = code >= -127.0f && code <= 127.0f ? static_cast<int8_t>(code) : int8_t{-128};
    group.half_sum[i / 16][0] += codes[i];
  }
}

}  // namespace

void quantize_rows_scalar(const float* x, int64_t stride, int64_t begin, int64_t end,
                          const QuantizedRows& out) {
  quantize_blocks<1>(x, stride, begin, end, out, quantize_group);
}

}  // namespace lmdeploy::cpu
