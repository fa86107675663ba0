// Every architecture against transformers (DESIGN 6), and the ways to cut a sequence into steps
// against each other.
#include <gtest/gtest.h>

#include "tests/models/batch_runner.h"
#include "tests/models/golden.h"

namespace lmdeploy {
namespace {

constexpr double kTolerance = 1e-3;
constexpr double kSixteenBitShare = 1.5;  // of transformers' own error in that dtype

class GoldenTest : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<CausalLm> load(const std::string& dtype) {
    auto model = load_tiny(golden_.config, golden_.weights, dtype, *stream_);
    CHECK(model.ok(), "{}", model.status().message());
    return std::move(model).value();
  }
  const GoldenPrompt& longest() const { return golden_.prompts.back(); }

  Golden golden_ = read_golden(GetParam());
  std::unique_ptr<Stream> stream_ = test_stream();
};

TEST_P(GoldenTest, Fp32LogitsEqualTransformers) {
  const auto model = load("float32");
  EXPECT_LE(golden_error(golden_, *model, *stream_, DType::kF32).max, kTolerance);
}

TEST_P(GoldenTest, SixteenBitErrorsAreWithinTransformers) {
  for (const auto& [dtype, kv_dtype] :
       {std::pair<const char*, DType>{"bfloat16", DType::kBF16}, {"float16", DType::kF16}}) {
    const auto model = load(dtype);
    const GoldenError ours = golden_error(golden_, *model, *stream_, kv_dtype);
    const GoldenError& theirs = golden_.errors.at(dtype);
    EXPECT_LE(ours.max, kSixteenBitShare * theirs.max) << dtype;
    EXPECT_LE(ours.rms, kSixteenBitShare * theirs.rms) << dtype;
  }
}

TEST_P(GoldenTest, StepByStepAndChunksEqualOneShot) {
  const auto model = load("float32");
  for (int block_tokens : {32, 64}) {
    BatchRunner runner(*model, *stream_, {.block_tokens = block_tokens, .shuffle_seed = 7});
    const auto one_shot = runner.prefill(0, longest().ids);
    int sequence = 1;
    for (int chunk : {1, 13, 64}) {
      EXPECT_EQ(runner.prefill(sequence++, longest().ids, chunk), one_shot)
          << "chunks of " << chunk << ", blocks of " << block_tokens;
    }
  }
}

TEST_P(GoldenTest, RowsDoNotDependOnTheirCompany) {
  const auto model = load("bfloat16");
  BatchRunner alone(*model, *stream_, {.kv_dtype = DType::kBF16});
  BatchRunner together(*model, *stream_, {.kv_dtype = DType::kBF16, .shuffle_seed = 3});
  std::vector<Feed> feeds;
  std::vector<std::vector<float>> expected;
  for (size_t p = 0; p < golden_.prompts.size(); ++p) {
    const int sequence = static_cast<int>(p);
    feeds.push_back({sequence, golden_.prompts[p].ids});
    for (auto& row : alone.prefill(sequence, golden_.prompts[p].ids))
      expected.push_back(std::move(row));
  }
  EXPECT_EQ(together.step(feeds), expected);
  // A decode step of all, one of them with several tokens.
  for (Feed& feed : feeds) feed.tokens = {5};
  feeds[1].tokens = {5, 6, 7};
  expected.clear();
  for (const Feed& feed : feeds) {
    for (auto& row : alone.step(feed.sequence, feed.tokens)) expected.push_back(std::move(row));
  }
  EXPECT_EQ(together.step(feeds), expected);
}

// Of a prompt only the last token goes on after the last layer's attention.
TEST_P(GoldenTest, LastRowsAloneAreTheSame) {
  const auto model = load("bfloat16");
  BatchRunner all(*model, *stream_, {.kv_dtype = DType::kBF16});
  BatchRunner last(*model, *stream_, {.kv_dtype = DType::kBF16, .last_rows = true});
  std::vector<Feed> feeds;
  for (size_t p = 0; p < golden_.prompts.size(); ++p) {
    feeds.push_back({static_cast<int>(p), golden_.prompts[p].ids});
  }
  const auto rows = all.step(feeds);
  std::vector<std::vector<float>> expected;
  size_t end = 0;
  for (const Feed& feed : feeds) expected.push_back(rows[(end += feed.tokens.size()) - 1]);
  EXPECT_EQ(last.step(feeds), expected);
  // Chunks before the last want none.
  const std::vector<std::vector<float>> of_longest = {expected.back()};
  EXPECT_EQ(last.prefill(100, longest().ids, 13), of_longest);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTest, testing::ValuesIn(golden_names()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace lmdeploy
