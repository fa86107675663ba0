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
