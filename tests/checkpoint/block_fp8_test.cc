#include "checkpoint/block_fp8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

namespace lmdeploy {
namespace {

// 5 x 7 elements in blocks of 2 x 3: codes 0, 1, 2, ... and scales 1, 2, 3, ...
class BlockFp8Test : public testing::Test {
 protected:
  static constexpr int64_t kRows = 5, kColumns = 7, kBlockRows = 2, kBlockColumns = 3;

  BlockFp8Test() {
    for (int i = 0; i < kRows * kColumns; ++i) codes_.push_back(static_cast<std::byte>(i * 7));
    for (int i = 0; i < 9; ++i) scales_.push_back(static_cast<float>(i + 1));
    std::memcpy(unaligned_.data() + 1, scales_.data(), scales_.size() * sizeof(float));
  }

  TensorRecord record(const char* name, DType dtype, Shape shape, const void* data, size_t bytes) {
    return {name, name, dtype, shape, static_cast<const std::byte*>(data), bytes};
  }
  std::map<std::string, TensorRecord, std::less<>> tensors() {
    std::map<std::string, TensorRecord, std::less<>> all;
    all.emplace("a.weight", record("a.weight", DType::kF8E4M3, Shape{kRows, kColumns},
                                   codes_.data(), codes_.size()));
    all.emplace("a.weight_scale_inv", record("a.weight_scale_inv", DType::kF32, Shape{3, 3},
                                             unaligned_.data() + 1, 36));
    return all;
  }
  std::string problem(const json::object& config,
                      std::map<std::string, TensorRecord, std::less<>> all) {
    ProblemList problems;
    attach_block_scales(config, all, problems);
    return problems.status(StatusCode::kDataLoss, "model").message();
  }

  json::object config_{
      {"quantization_config",
       {{"quant_method", "fp8"}, {"weight_block_size", {kBlockRows, kBlockColumns}}}}};
  std::vector<std::byte> codes_;
  std::vector<float> scales_;
  std::vector<std::byte> unaligned_ = std::vector<std::byte>(40);
};

// What torch makes of a float8_e4m3fn.
float value_of(int code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  if ((code & 127) == 127) return NAN;
  const double value = exponent == 0 ? mantissa / 512.0
                                     : (1.0 + mantissa / 8.0) * std::pow(2.0, exponent - 7);
  return static_cast<float>(code < 128 ? value : -value);
}

TEST_F(BlockFp8Test, PartsOfTheMatrixAreCodesTimesTheirBlocksScale) {
  auto all = tensors();
  ProblemList problems;
  attach_block_scales(config_, all, problems);
  ASSERT_TRUE(problems.empty());
  ASSERT_EQ(all.size(), 1U);
  const TensorRecord& matrix = all.at("a.weight");
  EXPECT_EQ(matrix.loaded_dtype(), DType::kBF16);
  for (const MatrixPart& part : {MatrixPart{0, 5, 0, 7}, MatrixPart{1, 3, 2, 4},
                                 MatrixPart{4, 1, 6, 1}, MatrixPart{2, 2, 3, 3}}) {
    std::vector<bf16> out(static_cast<size_t>(part.rows * part.cols));
    dequantize_block_fp8(matrix, part, out.data());
    for (int64_t r = 0; r < part.rows; ++r) {
      for (int64_t c = 0; c < part.cols; ++c) {
        const int64_t row = part.row_begin + r, col = part.col_begin + c;
        const auto code = static_cast<int>(codes_[static_cast<size_t>(row * kColumns + col)]);
        const int64_t block = row / kBlockRows * 3 + col / kBlockColumns;
        const float scale = scales_[static_cast<size_t>(block)];
        EXPECT_EQ(out[static_cast<size_t>(r * part.cols + c)].bits,
                  to_bf16(value_of(code) * scale).bits)
            << row << ", " << col;
      }
    }
  }
}

TEST_F(BlockFp8Test, ExtremesOfTheType) {
  EXPECT_EQ(value_of(0x7E), 448.0f);
  const std::byte codes[] = {std::byte{0x7E}, std::byte{0x01}, std::byte{0xFE}, std::byte{0x80},
                             std::byte{0x7F}};
  const float scale = 1.0f;
  TensorRecord matrix = record("a", DType::kF8E4M3, Shape{1, 5}, codes, sizeof(codes));
  matrix.scales = {reinterpret_cast<const std::byte*>(&scale), 128, 128};
  bf16 out[5];
  dequantize_block_fp8(matrix, {0, 1, 0, 5}, out);
  EXPECT_EQ(to_float(out[0]), 448.0f);
  EXPECT_EQ(to_float(out[1]), 0x1.0p-9f);
  EXPECT_EQ(to_float(out[2]), -448.0f);
  EXPECT_EQ(out[3].bits, 0x8000);
  EXPECT_TRUE(std::isnan(to_float(out[4])));
}

TEST_F(BlockFp8Test, WhatDoesNotFitIsNamed) {
  auto no_scales = tensors();
  no_scales.erase("a.weight_scale_inv");
  EXPECT_NE(problem(config_, no_scales).find("'a.weight' is fp8 and has no scales"),
            std::string::npos);
  auto other_blocks = config_;
  other_blocks["quantization_config"].as_object()["weight_block_size"] = {128, 128};
  EXPECT_NE(problem(other_blocks, tensors()).find("[1, 1]"), std::string::npos)
      << problem(other_blocks, tensors());
  for (const json::value& size : {json::value(nullptr), json::value{0, 128}, json::value{128}}) {
    auto without = config_;
    without["quantization_config"].as_object()["weight_block_size"] = size;
    EXPECT_NE(problem(without, tensors()).find("'weight_block_size'"), std::string::npos);
  }
}

}  // namespace
}  // namespace lmdeploy
