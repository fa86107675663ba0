#include "nn/unit_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

namespace lmdeploy {
namespace {

template <class T>
LoadedSlice slice_of(const std::vector<T>& values, DType dtype, int64_t rows, int64_t stride) {
  return {.dtype = dtype,
          .rows = rows,
          .cols = 4,
          .data = reinterpret_cast<const std::byte*>(values.data()),
          .row_bytes = static_cast<size_t>(stride) * sizeof(T),
          .baked = 0};
}

TEST(UnitRows, DividesEachRowOfStridedOnes) {
  const std::vector<float> values = {3, 0, 4, 0, 99, 1, 1, 1, 1, 99, 0, 0, 0, 0, 99};
  std::vector<std::byte> storage;
  const auto divided = divide_rows(slice_of(values, DType::kF32, 3, 5), "head", storage);
  ASSERT_TRUE(divided.ok());
  EXPECT_EQ(divided->row_bytes, 16u);
  std::vector<float> got(12);
  std::memcpy(got.data(), divided->data, 48);
  EXPECT_EQ(got, (std::vector<float>{0.6f, 0, 0.8f, 0, 0.5f, 0.5f, 0.5f, 0.5f, 0, 0, 0, 0}));
}

TEST(UnitRows, KeepsSixteenBitTypes) {
  const std::vector<bf16> values = {to_bf16(3), to_bf16(0), to_bf16(4), to_bf16(0)};
  std::vector<std::byte> storage;
  const auto divided = divide_rows(slice_of(values, DType::kBF16, 1, 4), "head", storage);
  ASSERT_TRUE(divided.ok());
  bf16 first;
  std::memcpy(&first, divided->data, sizeof(first));
  EXPECT_EQ(first.bits, to_bf16(0.6f).bits);
}

TEST(UnitRows, Fp8BecomesBf16WithAScaleARow) {
  constexpr uint8_t kOne = 0x38, kTwo = 0x40;
  const std::vector<uint8_t> codes = {kOne, kOne, kOne, kOne, 99, kTwo, 0, 0, kTwo, 99};
  const std::vector<float> scales = {100, 3, 0.5f};  // of rows 0 to 2; the slice begins at row 1
  LoadedSlice slice = slice_of(codes, DType::kF8E4M3, 2, 5);
  slice.scales = {.data = reinterpret_cast<const std::byte*>(scales.data()),
                  .rows = 1,
                  .columns = 4,
                  .across = 1,
                  .first_row = 1};
  std::vector<std::byte> storage;
  const auto divided = divide_rows(slice, "head", storage);
  ASSERT_TRUE(divided.ok()) << divided.status().message();
  EXPECT_EQ(divided->dtype, DType::kBF16);
  EXPECT_EQ(divided->row_bytes, 8U);
  EXPECT_EQ(divided->scales.data, nullptr);
  std::vector<bf16> got(8);
  std::memcpy(got.data(), divided->data, 16);
  const float half = std::sqrt(0.5f);
  const std::vector<float> want = {0.5f, 0.5f, 0.5f, 0.5f, half, 0, 0, half};
  for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(got[i].bits, to_bf16(want[i]).bits) << i;
  slice.scales = {};
  EXPECT_FALSE(divide_rows(slice, "head", storage).ok());
}

TEST(UnitRows, RefusesBlocksByName) {
  const std::vector<float> values(32);
  std::vector<std::byte> storage;
  const auto refused = divide_rows(slice_of(values, DType::kQ8_0, 1, 4), "lm_head.weight", storage);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.status().message().find("lm_head.weight: rows of type q8_0"), std::string::npos)
      << refused.status().message();
}

}  // namespace
}  // namespace lmdeploy
