#include "kernels/cpu/dequant.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tests/kernels/matmul_inputs.h"

namespace lmdeploy {
namespace {

// The order and sizes of tools/make_dequant_golden.py.
TEST(Dequant, EveryBlockTypeEqualsTheGgufPackage) {
  std::ifstream file(LMDEPLOY_TEST_DATA "/kernels/dequant_golden.bin", std::ios::binary);
  const std::vector<char> golden((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  constexpr int64_t kElements = 512;
  size_t at = 0;
  for (DType format : test::kBlockFormats) {
    const auto bytes = static_cast<size_t>(dtype_bytes(format, kElements));
    ASSERT_LE(at + bytes + kElements * sizeof(float), golden.size()) << dtype_name(format);
    std::vector<float> want(kElements), got(kElements);
    std::memcpy(want.data(), golden.data() + at + bytes, kElements * sizeof(float));
    cpu::dequantize_row(format, reinterpret_cast<const std::byte*>(golden.data() + at), kElements, got.data());
    EXPECT_EQ(got, want) << dtype_name(format);
    at += bytes + kElements * sizeof(float);
  }
  EXPECT_EQ(at, golden.size());
}

}  // namespace
}  // namespace lmdeploy
