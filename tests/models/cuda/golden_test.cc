// Every architecture on the GPU against transformers (DESIGN 6), by the list of tests/models, and
// what batch_invariant promises.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "tests/models/batch_runner.h"
#include "tests/models/golden.h"

namespace lmdeploy {
namespace {

constexpr double kTolerance = 1e-3;
constexpr double kSixteenBitShare = 1.5;  // of transformers' own error in that dtype

struct Type {
  const char* name;
  DType dtype;
};
constexpr Type kFloat32{"float32", DType::kF32};
constexpr Type kSixteenBit[] = {{"bfloat16", DType::kBF16}, {"float16", DType::kF16}};

class CudaGolden : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    Result<std::unique_ptr<Stream>> stream = make_stream({DeviceType::kCuda, 0}, 0, {});
    ASSERT_TRUE(stream.ok()) << stream.status().message();
    stream_ = std::move(*stream);
  }
  Result<std::unique_ptr<CausalLm>> load(const Type& type) {
    return load_tiny(golden_.config, golden_.weights, type.name, *stream_);
  }
  bool refuses_f16() const {
    return GetParam().starts_with("gemma2") || GetParam().starts_with("gemma3");
  }

  Golden golden_ = read_golden(GetParam());
  std::unique_ptr<Stream> stream_;
};

TEST_P(CudaGolden, Fp32LogitsEqualTransformers) {
  auto model = load(kFloat32);
  ASSERT_TRUE(model.ok()) << model.status().message();
  const GoldenError error = golden_error(golden_, **model, *stream_, DType::kF32);
  std::printf("%s float32: max %.2e\n", GetParam().c_str(), error.max);
  EXPECT_LE(error.max, kTolerance);
}

TEST_P(CudaGolden, SixteenBitErrorsAreWithinTransformers) {
  for (const Type& type : kSixteenBit) {
    auto model = load(type);
    if (refuses_f16() && type.dtype == DType::kF16) {
      ASSERT_FALSE(model.ok());
      EXPECT_NE(model.status().message().find("--dtype bfloat16"), std::string::npos);
      continue;
    }
    ASSERT_TRUE(model.ok()) << model.status().message();
    EXPECT_EQ((*model)->info().activations, type.dtype);
    const GoldenError ours = golden_error(golden_, **model, *stream_, type.dtype);
    const GoldenError& theirs = golden_.errors.at(type.name);
    std::printf("%s %s: max %.4f of %.4f, rms %.5f of %.5f\n", GetParam().c_str(), type.name,
                ours.max, theirs.max, ours.rms, theirs.rms);
    EXPECT_LE(ours.max, kSixteenBitShare * theirs.max) << type.name;
    EXPECT_LE(ours.rms, kSixteenBitShare * theirs.rms) << type.name;
  }
}

TEST_P(CudaGolden, InvariantRowsDependNeitherOnCompanyNorOnChunks) {
  const Type& type = kSixteenBit[0];
  auto model = load(type);
  ASSERT_TRUE(model.ok()) << model.status().message();
  BatchRunner alone(**model, *stream_, {.kv_dtype = type.dtype, .batch_invariant = true});
  BatchRunner together(**model, *stream_,
                       {.kv_dtype = type.dtype, .shuffle_seed = 3, .batch_invariant = true});
  std::vector<Feed> feeds;
  std::vector<std::vector<float>> expected;
  for (size_t p = 0; p < golden_.prompts.size(); ++p) {
    const int sequence = static_cast<int>(p);
    feeds.push_back({sequence, golden_.prompts[p].ids});
    for (auto& row : alone.prefill(sequence, golden_.prompts[p].ids)) {
      expected.push_back(std::move(row));
    }
  }
  EXPECT_TRUE(together.step(feeds) == expected);
  // Of a prompt only the last token goes on after the last layer's attention.
  BatchRunner last(**model, *stream_,
                   {.kv_dtype = type.dtype, .batch_invariant = true, .last_rows = true});
  std::vector<std::vector<float>> expected_last;
  size_t end = 0;
  for (const Feed& feed : feeds) expected_last.push_back(expected[(end += feed.tokens.size()) - 1]);
  EXPECT_TRUE(last.step(feeds) == expected_last);
  const std::vector<int32_t>& longest = golden_.prompts.back().ids;
  const auto one_shot = alone.prefill(100, longest);
  int sequence = 101;
  for (int chunk : {1, 13, 64}) {
    EXPECT_TRUE(alone.prefill(sequence++, longest, chunk) == one_shot) << "chunks of " << chunk;
  }
}

INSTANTIATE_TEST_SUITE_P(All, CudaGolden, testing::ValuesIn(golden_names()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace lmdeploy
