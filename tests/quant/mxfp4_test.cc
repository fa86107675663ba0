#include "quant/mxfp4.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace lmdeploy {
namespace {

TEST(Mxfp4, LowHalvesComeFirstAndScalesArePowersOfTwo) {
  // Blocks of codes 0, 1, 2, ... 15, 0, ...; the second one's in the other order of halves.
  std::vector<std::byte> codes;
  for (unsigned i = 0; i < 16; ++i)
    codes.push_back(std::byte((2 * i) % 16 | ((2 * i + 1) % 16) << 4));
  for (unsigned i = 0; i < 16; ++i)
    codes.push_back(std::byte((2 * i + 1) % 16 | ((2 * i) % 16) << 4));
  const std::byte scales[] = {std::byte{127}, std::byte{124}};
  std::vector<bf16> out(64);
  dequantize_mxfp4(codes.data(), scales, 2, out.data());
  const float sizes[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (size_t i = 0; i < 32; ++i) {
    const float want = sizes[i % 8] * (i % 16 < 8 ? 1.0f : -1.0f);
    EXPECT_EQ(to_float(out[i]), want) << i;
    EXPECT_EQ(to_float(out[32 + (i ^ 1)]), want / 8) << i;
  }
}

TEST(Mxfp4, ScalesReachTheEndsOfTheirRange) {
  const std::vector<std::byte> codes(16, std::byte{0x77});  // 6
  std::vector<bf16> out(32);
  for (const auto& [scale, exponent] : {std::pair{250, 123}, {1, -126}, {0, -127}}) {
    const std::byte code{static_cast<unsigned char>(scale)};
    dequantize_mxfp4(codes.data(), &code, 1, out.data());
    EXPECT_EQ(to_float(out[0]), to_float(to_bf16(std::ldexp(6.0f, exponent)))) << scale;
  }
  const std::byte nan{255};
  dequantize_mxfp4(codes.data(), &nan, 1, out.data());
  EXPECT_TRUE(std::isnan(to_float(out[5])));
}

}  // namespace
}  // namespace lmdeploy
