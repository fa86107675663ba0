#include "tensor/block_scales.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

namespace lmdeploy {
namespace {

// What torch makes of a float8_e4m3fn.
float value_of(int code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  if ((code & 127) == 127) return NAN;
  const double value = exponent == 0 ? mantissa / 512.0
                                     : (1.0 + mantissa / 8.0) * std::pow(2.0, exponent - 7);
  return static_cast<float>(code < 128 ? value : -value);
}

// 5 x 7 codes, whose scales come in blocks and types of several kinds.
class BlockScalesTest : public testing::Test {
 protected:
  static constexpr int64_t kRows = 5, kColumns = 7;

  BlockScalesTest() {
    for (int i = 0; i < kRows * kColumns; ++i) codes_.push_back(static_cast<std::byte>(i * 7));
  }

  // Scales 1.125, 2.125, ... for blocks of this size, at an odd address.
  BlockScales scales(DType dtype, int64_t rows, int64_t columns) {
    const int64_t down = (kRows + rows - 1) / rows, across = (kColumns + columns - 1) / columns;
    const auto size = static_cast<size_t>(dtype_bytes(dtype, 1));
    stored_.resize(static_cast<size_t>(down * across) * size + 1);
    for (int64_t i = 0; i < down * across; ++i) {
      const float scale = scale_at(i);
      const uint16_t half = dtype == DType::kF16 ? to_f16(scale).bits : to_bf16(scale).bits;
      const void* value = dtype == DType::kF32 ? static_cast<const void*>(&scale) : &half;
      std::memcpy(stored_.data() + 1 + static_cast<size_t>(i) * size, value, size);
    }
    return {stored_.data() + 1, dtype, rows, columns, across};
  }
  static float scale_at(int64_t block) { return static_cast<float>(block) + 1.125f; }

  // The part [rows, columns] of the matrix from (row, column) on.
  void expect_part(BlockScales scales, int64_t row, int64_t column, int64_t rows, int64_t columns) {
    scales.first_row = row;
    scales.first_column = column;
    for (int64_t r = 0; r < rows; ++r) {
      const size_t first = static_cast<size_t>((row + r) * kColumns + column);
      std::vector<float> out(static_cast<size_t>(columns));
      dequantize_fp8_row(codes_.data() + first, r, columns, scales, out.data());
      for (int64_t c = 0; c < columns; ++c) {
        const int64_t block =
            (row + r) / scales.rows * scales.across + (column + c) / scales.columns;
        const auto code = std::to_integer<int>(codes_[first + static_cast<size_t>(c)]);
        EXPECT_EQ(to_bf16(out[static_cast<size_t>(c)]).bits,
                  to_bf16(value_of(code) * scale_at(block)).bits)
            << row + r << ", " << column + c;
        if (!std::isnan(out[static_cast<size_t>(c)])) {
          EXPECT_EQ(to_float(to_bf16(out[static_cast<size_t>(c)])), out[static_cast<size_t>(c)]);
        }
      }
    }
  }

  std::vector<std::byte> codes_, stored_;
};

TEST_F(BlockScalesTest, PartsOfAMatrixAreCodesTimesTheirBlocksScale) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const auto& [rows, columns] :
         {std::pair<int64_t, int64_t>{2, 3}, {1, 7}, {5, 7}, {3, 1}}) {
      const BlockScales all = scales(dtype, rows, columns);
      expect_part(all, 0, 0, 5, 7);
      expect_part(all, 1, 2, 3, 4);
      expect_part(all, 4, 6, 1, 1);
      expect_part(all, 2, 3, 2, 3);
    }
  }
}

TEST_F(BlockScalesTest, ExtremesOfTheType) {
  const std::byte codes[] = {std::byte{0x7E}, std::byte{0x01}, std::byte{0xFE}, std::byte{0x80},
                             std::byte{0x7F}};
  const float one = 1.0f;
  float out[5];
  dequantize_fp8_row(codes, 0, 5, {reinterpret_cast<const std::byte*>(&one), DType::kF32, 1, 5, 1},
                     out);
  EXPECT_EQ(out[0], 448.0f);
  EXPECT_EQ(out[1], 0x1.0p-9f);
  EXPECT_EQ(out[2], -448.0f);
  EXPECT_TRUE(out[3] == 0.0f && std::signbit(out[3]));
  EXPECT_TRUE(std::isnan(out[4]));
}

}  // namespace
}  // namespace lmdeploy
