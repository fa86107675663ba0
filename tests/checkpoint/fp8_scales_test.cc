#include "checkpoint/fp8_scales.h"

#include <gtest/gtest.h>

#include <limits>

namespace lmdeploy {
namespace {

using Tensors = std::map<std::string, TensorRecord, std::less<>>;
using Block = std::optional<BlockShape>;

constexpr std::byte kData[16] = {};

// Data begins at a byte of its own for each tensor.
void add(Tensors& tensors, const std::string& name, DType dtype, Shape shape) {
  CHECK(tensors.size() < std::size(kData));
  tensors.emplace(name, TensorRecord{name, name, dtype, shape, kData + tensors.size(),
                                     static_cast<size_t>(dtype_bytes(dtype, shape.numel()))});
}

// A matrix [300, 200] in fp8 beside scales of this kind.
Tensors matrix_and(const std::string& scales, DType dtype, Shape shape) {
  Tensors tensors;
  add(tensors, "a.weight", DType::kF8E4M3, Shape{300, 200});
  add(tensors, scales, dtype, shape);
  return tensors;
}

std::string problem(const Block& block, Tensors tensors) {
  ProblemList problems;
  attach_fp8_scales(block, tensors, problems);
  return problems.status(StatusCode::kDataLoss, "model").message();
}

TEST(Fp8Scales, BlocksRowsOrTheWholeMatrixShareAScale) {
  struct Case {
    const char* name;
    DType dtype;
    Shape shape;
    Block block;
    int64_t rows, columns, across;
  };
  const Block published{{128, 128}};
  const Case cases[] = {
      {"a.weight_scale_inv", DType::kF32, Shape{3, 2}, published, 128, 128, 2},   // DeepSeek V3
      {"a.weight_scale_inv", DType::kBF16, Shape{3, 2}, published, 128, 128, 2},  // Qwen 3
      {"a.weight_scale", DType::kBF16, Shape{3, 2}, published, 128, 128, 2},
      {"a.weight_scale", DType::kBF16, Shape{300, 1}, {}, 1, 200, 1},  // compressed-tensors
      {"a.weight_scale", DType::kF32, Shape{300}, {}, 1, 200, 1},
      {"a.weight_scale", DType::kF16, Shape{1}, {}, 300, 200, 1},
      {"a.weight_scale", DType::kF32, Shape{}, {}, 300, 200, 1},  // ModelOpt
      {"a.weight_scale", DType::kF32, Shape{300, 1}, published, 1, 200, 1},
  };
  for (const Case& one : cases) {
    Tensors tensors = matrix_and(one.name, one.dtype, one.shape);
    const std::byte* const scales = tensors.at(one.name).data;
    ProblemList problems;
    attach_fp8_scales(one.block, tensors, problems);
    ASSERT_TRUE(problems.empty()) << one.name << one.shape.to_string();
    ASSERT_EQ(tensors.size(), 1U);
    const TensorRecord& matrix = tensors.at("a.weight");
    EXPECT_EQ(matrix.loaded_dtype(), DType::kBF16);
    EXPECT_EQ(matrix.scales.data, scales) << one.name << one.shape.to_string();
    EXPECT_EQ(matrix.scales.dtype, one.dtype);
    EXPECT_EQ(matrix.scales.rows, one.rows) << one.shape.to_string();
    EXPECT_EQ(matrix.scales.columns, one.columns) << one.shape.to_string();
    EXPECT_EQ(matrix.scales.across, one.across) << one.shape.to_string();
  }
}

TEST(Fp8Scales, EachMatrixHasItsOwn) {
  Tensors tensors = matrix_and("a.weight_scale", DType::kF32, Shape{1});
  add(tensors, "b.weight", DType::kF8E4M3, Shape{8, 8});
  add(tensors, "b.weight_scale_inv", DType::kF32, Shape{8});
  ProblemList problems;
  attach_fp8_scales({}, tensors, problems);
  ASSERT_TRUE(problems.empty());
  EXPECT_EQ(tensors.at("a.weight").scales.data, kData + 1);
  EXPECT_EQ(tensors.at("b.weight").scales.data, kData + 3);
}

// No elements, so that a file can name it.
TEST(Fp8Scales, TheLongestEmptyMatrixIsRead) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  const Block block{{128, 128}};
  for (const Shape& shape : {Shape{kMost, 0}, Shape{0, kMost}}) {
    for (const Shape& scales : {Shape{1}, Shape{3, 2}}) {
      Tensors tensors;
      add(tensors, "a.weight", DType::kF8E4M3, shape);
      add(tensors, "a.weight_scale", DType::kF32, scales);
      ProblemList problems;
      attach_fp8_scales(block, tensors, problems);
      EXPECT_EQ(problems.empty(), scales == Shape{1}) << shape.to_string();
    }
  }
  Tensors named;
  add(named, "a.weight", DType::kF8E4M3, Shape{kMost, 0});
  add(named, "a.weight_scale", DType::kF32, Shape{3, 2});
  EXPECT_NE(problem(block, named).find("expected f32, bf16 or f16 [72057594037927936, 0]"),
            std::string::npos)
      << problem(block, named);
}

TEST(Fp8Scales, ScalesOfActivationsAndOfTheCacheLeave) {
  Tensors tensors = matrix_and("a.weight_scale", DType::kF32, Shape{1});
  for (const char* name : {"a.input_scale", "a.input_scale_ub", "k_proj.k_scale", "v_proj.v_scale",
                           "a.output_scale", "self_attn.kv_scale"}) {
    add(tensors, name, DType::kF32, Shape{1});
  }
  add(tensors, "b.weight", DType::kBF16, Shape{4, 4});
  ProblemList problems;
  attach_fp8_scales({}, tensors, problems);
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ(tensors.size(), 2U);
  EXPECT_EQ(tensors.at("b.weight").scales.data, nullptr);
}

TEST(Fp8Scales, WhatDoesNotFitIsNamed) {
  const auto expect = [](const std::string& text, const Block& block, const Tensors& tensors) {
    EXPECT_NE(problem(block, tensors).find(text), std::string::npos) << problem(block, tensors);
  };
  expect("'a.weight' is fp8 and has no scales", {},
         matrix_and("b.weight_scale", DType::kF32, Shape{1}));
  expect("'a.weight_scale' is f32 [3, 2]; expected f32, bf16 or f16 [1] or [300, 1]", {},
         matrix_and("a.weight_scale", DType::kF32, Shape{3, 2}));
  expect("[5, 4] for blocks of 64 x 64, [1] or [300, 1]", {{64, 64}},
         matrix_and("a.weight_scale", DType::kF32, Shape{3, 2}));
  expect("'a.weight_scale' is f64 [1]", {}, matrix_and("a.weight_scale", DType::kF64, Shape{1}));
  Tensors stacked;
  add(stacked, "experts.gate_up_proj", DType::kF8E4M3, Shape{4, 8, 8});
  expect("'experts.gate_up_proj' is fp8 of shape [4, 8, 8]", {}, stacked);
}

}  // namespace
}  // namespace lmdeploy
