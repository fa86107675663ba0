#include "kernels/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "kernels/cpu/sampling.h"
#include "tests/kernels/sampling_test_support.h"

namespace lmdeploy {
namespace {

using test::chi_square_excess;
using test::CpuRun;
using test::filter_grid;
using test::log_of;
using test::normal_logits;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<SampledToken> sample_rows(CpuRun& cpu, const std::vector<float>& logits,
                                      const std::vector<SamplingRow>& rows) {
  const int64_t vocab = static_cast<int64_t>(logits.size());
  Tensor copies(Shape{static_cast<int64_t>(rows.size()), vocab}, DType::kF32);
  for (size_t r = 0; r < rows.size(); ++r) {
    std::copy(logits.begin(), logits.end(), copies.view().row<float>(static_cast<int64_t>(r)));
  }
  std::vector<SampledToken> out(rows.size());
  cpu.arena.poison();
  sample(cpu.ctx, copies, rows, out);
  return out;
}

SampledToken sample_one(CpuRun& cpu, const std::vector<float>& logits, const SamplingRow& row) {
  return sample_rows(cpu, logits, {row})[0];
}

// The tokens that 400 draws give.
std::set<int32_t> drawn_set(CpuRun& cpu, const std::vector<float>& logits, SamplingRow row) {
  std::vector<SamplingRow> rows(400, row);
  for (size_t i = 0; i < rows.size(); ++i) rows[i].position = static_cast<int64_t>(i);
  std::set<int32_t> tokens;
  for (const SampledToken& token : sample_rows(cpu, logits, rows)) tokens.insert(token.token);
  return tokens;
}

class SamplingTest : public testing::TestWithParam<std::string> {
 protected:
  CpuRun cpu{2, GetParam()};
};

TEST_P(SamplingTest, GreedyTakesTheLowestOfEqualTokens) {
  std::vector<float> logits = normal_logits(70001, 1, 1);
  logits[69000] = logits[50321] = logits[50320] = 9;
  EXPECT_EQ(sample_one(cpu, logits, {.greedy = true}).token, 50320);
  EXPECT_EQ(sample_one(cpu, logits, {.temperature = 0}).token, 50320);
  const int32_t banned[] = {50320, -5, 1 << 30};
  EXPECT_EQ(sample_one(cpu, logits, {.greedy = true, .banned = banned}).token, 50321);
}

TEST_P(SamplingTest, TopPKeepsTheFewestTokensThatReachIt) {
  const std::vector<float> logits = log_of({0.1, 0.4, 0.2, 0.3});
  EXPECT_EQ(drawn_set(cpu, logits, {.top_p = 0.39f}), (std::set<int32_t>{1}));
  EXPECT_EQ(drawn_set(cpu, logits, {.top_p = 0.41f}), (std::set<int32_t>{1, 3}));
  EXPECT_EQ(drawn_set(cpu, logits, {.top_p = 0.71f}), (std::set<int32_t>{1, 2, 3}));
  EXPECT_EQ(drawn_set(cpu, logits, {.top_p = 0.91f}), (std::set<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(drawn_set(cpu, logits, {.top_p = 0}), (std::set<int32_t>{1}));
  // Equal tokens: lower ids first; four of 0.2 reach 0.8 although the float 0.8 is larger.
  EXPECT_EQ(drawn_set(cpu, log_of({0.2, 0.2, 0.2, 0.2, 0.2}), {.top_p = 0.8f}),
            (std::set<int32_t>{0, 1, 2, 3}));
}

TEST_P(SamplingTest, FiltersApplyInOrder) {
  const std::vector<float> logits = log_of({0.1, 0.4, 0.2, 0.3});
  EXPECT_EQ(drawn_set(cpu, logits, {.top_k = 2}), (std::set<int32_t>{1, 3}));
  // Inside the two: 0.57 and 0.43, so the first alone reaches 0.5.
  EXPECT_EQ(drawn_set(cpu, logits, {.top_k = 2, .top_p = 0.5f}), (std::set<int32_t>{1}));
  EXPECT_EQ(drawn_set(cpu, logits, {.min_p = 0.6f}), (std::set<int32_t>{1, 3}));
  EXPECT_EQ(drawn_set(cpu, logits, {.top_p = 0.71f, .min_p = 0.6f}), (std::set<int32_t>{1, 3}));
  EXPECT_EQ(drawn_set(cpu, logits, {.min_p = 2.0f}), (std::set<int32_t>{1}));
  // Temperature comes before top-p: squared probabilities 16 : 9 : 4 : 1.
  EXPECT_EQ(drawn_set(cpu, logits, {.temperature = 0.5f, .top_p = 0.52f}), (std::set<int32_t>{1}));
  EXPECT_EQ(drawn_set(cpu, log_of({0.25, 0.25, 0.25, 0.25}), {.top_k = 2}),
            (std::set<int32_t>{0, 1}));
}

TEST_P(SamplingTest, FlatVocabularyIsCutByCountAndId) {
  const std::vector<float> logits(262144, 1.5f);
  SamplingRow row{.top_p = 0.25f};
  int32_t highest = 0;
  for (row.position = 0; row.position < 60; ++row.position) {
    highest = std::max(highest, sample_one(cpu, logits, row).token);
  }
  EXPECT_LT(highest, 65536);
  EXPECT_GT(highest, 50000);
  EXPECT_LT(sample_one(cpu, logits, {.top_k = 3000}).token, 3000);
}

TEST_P(SamplingTest, MaskPenaltiesBiasAndBannedTokens) {
  const std::vector<float> logits = {3, -2, 1, 2.5f, 0};
  const uint32_t allowed[] = {0b10110};
  EXPECT_EQ(sample_one(cpu, logits, {.greedy = true, .allowed_mask = allowed}).token, 2);
  const TokenBias lift[] = {{0, 100}, {4, 5}, {7, 3}, {-1, 3}};
  EXPECT_EQ(sample_one(cpu, logits, {.greedy = true, .bias = lift, .allowed_mask = allowed}).token,
            4);
  // 3 / 1.5 = 2 < 2.5; -2 * 1.5 = -3.
  const TokenCount prompt[] = {{0, 1, 0}, {1, 2, 0}};
  const SamplingRow repetition{.greedy = true, .repetition_penalty = 1.5f, .seen = prompt};
  EXPECT_EQ(sample_one(cpu, logits, repetition).token, 3);
  const TokenBias lift_negative[] = {{1, 5.6f}};
  SamplingRow biased = repetition;
  biased.bias = lift_negative;
  EXPECT_EQ(sample_one(cpu, logits, biased).token, 1);  // -3 + 5.6 = 2.6 > 2.5
  // Presence and frequency count the generated text alone.
  EXPECT_EQ(sample_one(cpu, logits, {.greedy = true, .presence_penalty = 1, .seen = prompt}).token,
            0);
  const TokenCount generated[] = {{0, 0, 3}, {3, 0, 1}};
  EXPECT_EQ(
      sample_one(cpu, logits, {.greedy = true, .frequency_penalty = 0.2f, .seen = generated}).token,
      0);
  EXPECT_EQ(
      sample_one(cpu, logits, {.greedy = true, .frequency_penalty = 0.3f, .seen = generated}).token,
      3);
  EXPECT_EQ(
      sample_one(cpu, logits, {.greedy = true, .presence_penalty = 2, .seen = generated}).token, 0);
}

TEST_P(SamplingTest, NaNAndInfinity) {
  EXPECT_EQ(sample_one(cpu, std::vector<float>(100, kNaN), {}).token, -1);
  EXPECT_EQ(sample_one(cpu, std::vector<float>(100, -kInfinity), {.greedy = true}).token, -1);
  const uint32_t nothing[] = {0};
  EXPECT_EQ(sample_one(cpu, {1, 2, 3}, {.top_k = 2, .allowed_mask = nothing, .logprobs = 2}).token,
            -1);
  std::vector<float> logits(100, kNaN);
  logits[40] = 1;
  logits[41] = -kInfinity;
  for (const SamplingRow& row : filter_grid()) EXPECT_EQ(sample_one(cpu, logits, row).token, 40);
  logits[12] = logits[77] = kInfinity;
  EXPECT_EQ(sample_one(cpu, logits, {.greedy = true}).token, 12);
  for (const SamplingRow& row : filter_grid()) {
    const std::set<int32_t> drawn = drawn_set(cpu, logits, row);
    for (int32_t token : drawn) EXPECT_TRUE(token == 12 || token == 77) << token;
  }
  const SampledToken infinite = sample_one(cpu, logits, {.greedy = true, .logprobs = 20});
  EXPECT_EQ(infinite.top_count, 2);
  EXPECT_NEAR(infinite.logprob, std::log(0.5), 1e-6);
}

TEST_P(SamplingTest, LogprobsAreOfTheRawLogits) {
  std::vector<float> logits = normal_logits(50000, 3, 2);
  logits[17] = logits[49999] = 11;
  logits[18] = kNaN;
  const int32_t banned[] = {17};
  const TokenBias bias[] = {{5, 100}};
  const SampledToken token = sample_one(
      cpu, logits,
      {.greedy = true, .temperature = 0.3f, .bias = bias, .banned = banned, .logprobs = 20});
  EXPECT_EQ(token.token, 5);
  EXPECT_NEAR(token.logprob, cpu::plain_logprob(logits.data(), 50000, 5), 1e-5);
  ASSERT_EQ(token.top_count, 20);
  EXPECT_EQ(token.top[0].token, 17);
  EXPECT_EQ(token.top[1].token, 49999);
  std::vector<int32_t> order;
  for (int32_t i = 0; i < 50000; ++i)
    if (i != 18) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(token.top[i].token, order[static_cast<size_t>(i)]);
    EXPECT_NEAR(token.top[i].logprob, cpu::plain_logprob(logits.data(), 50000, token.top[i].token),
                1e-5);
  }
}

TEST_P(SamplingTest, TokenLogprobs) {
  Tensor logits = test::normal_tensor(Shape{5, 33333}, 9, 4);
  const std::vector<int32_t> targets = {0, 33332, 1234, 777, 5};
  std::vector<float> out(5);
  token_logprobs(cpu.ctx, logits, targets, out);
  for (size_t r = 0; r < 5; ++r) {
    const float* row = logits.view().row<float>(static_cast<int64_t>(r));
    EXPECT_NEAR(out[r], cpu::plain_logprob(row, 33333, targets[r]), 2e-5);
  }
}

// The same uniform gives the same token as the plain sampler, but for draws that fall on a border.
TEST_P(SamplingTest, AgreesWithThePlainSamplerDrawByDraw) {
  CpuRun plain(1, "scalar");
  int draws = 0, different = 0;
  uint64_t key = 0;
  for (int64_t vocab : {5, 33, 1000, 66000}) {
    for (double stddev : {0.0, 0.5, 3.0, 12.0}) {
      const std::vector<float> logits = normal_logits(vocab, ++key, stddev);
      std::vector<SamplingRow> rows = filter_grid();
      if (vocab > 1000) rows.resize(20);
      for (SamplingRow& row : rows) {
        row.seed = ++key;
        row.position = static_cast<int64_t>(key % 13);
        row.logprobs = 0;
      }
      const auto fast = sample_rows(cpu, logits, rows), want = sample_rows(plain, logits, rows);
      for (size_t r = 0; r < rows.size(); ++r) {
        ++draws;
        different += fast[r].token != want[r].token;
        if (fast[r].token == want[r].token) {
          EXPECT_NEAR(fast[r].logprob, want[r].logprob, 2e-5);
        }
      }
    }
  }
  EXPECT_LE(different, draws / 200) << "of " << draws;
}

TEST_P(SamplingTest, DrawsFollowThePlainDistribution) {
  constexpr int kDraws = 100000, kRows = 2000, kVocab = 80;
  const std::vector<float> logits = normal_logits(kVocab, 77, 2);
  for (SamplingRow row : filter_grid()) {
    std::vector<float> edited = logits;
    std::vector<double> probability(kVocab);
    std::vector<int32_t> order(kVocab);
    ASSERT_TRUE(
        cpu::plain_distribution(edited.data(), kVocab, row, {probability.data(), order.data()}));
    std::vector<int> seen(kVocab);
    row.seed = 4242;
    for (int start = 0; start < kDraws; start += kRows) {
      std::vector<SamplingRow> rows(kRows, row);
      for (int i = 0; i < kRows; ++i) rows[static_cast<size_t>(i)].position = start + i;
      for (const SampledToken& token : sample_rows(cpu, logits, rows))
        ++seen[static_cast<size_t>(token.token)];
    }
    for (int i = 0; i < kVocab; ++i) {
      if (probability[static_cast<size_t>(i)] > 0) continue;
      ASSERT_EQ(seen[static_cast<size_t>(i)], 0) << i;
    }
    EXPECT_LT(chi_square_excess(seen, probability, kDraws), 5)
        << "temperature " << row.temperature << " top_k " << row.top_k << " top_p " << row.top_p
        << " min_p " << row.min_p;
  }
}

TEST_P(SamplingTest, ChoicesAndPositionsAreUncorrelated) {
  constexpr int kPairs = 100000, kVocab = 8;
  const std::vector<float> logits(kVocab, 0.0f);
  const std::vector<double> even(kVocab * kVocab, 1.0 / (kVocab * kVocab));
  for (int kind = 0; kind < 3; ++kind) {  // seed + 1, position + 1, both
    std::vector<int> seen(kVocab * kVocab);
    for (int start = 0; start < kPairs; start += 1000) {
      std::vector<SamplingRow> rows(2000);
      for (int i = 0; i < 1000; ++i) {
        SamplingRow& a = rows[static_cast<size_t>(2 * i)];
        SamplingRow& b = rows[static_cast<size_t>(2 * i + 1)];
        a.seed = kind == 1 ? 5 : static_cast<uint64_t>(start + i);
        a.position = kind == 0 ? 9 : start + i;
        b.seed = a.seed + (kind != 1);
        b.position = a.position + (kind != 0);
      }
      const auto tokens = sample_rows(cpu, logits, rows);
      for (size_t i = 0; i < tokens.size(); i += 2)
        ++seen[static_cast<size_t>(tokens[i].token * kVocab + tokens[i + 1].token)];
    }
    EXPECT_LT(chi_square_excess(seen, even, kPairs), 5) << "kind " << kind;
  }
}

// A row's token does not depend on its company.
TEST_P(SamplingTest, RowsDoNotDependOnCompany) {
  std::vector<SamplingRow> rows = filter_grid();
  const std::vector<float> logits = normal_logits(3000, 5, 3);
  for (size_t r = 0; r < rows.size(); ++r) rows[r].seed = r;
  const auto together = sample_rows(cpu, logits, rows);
  CpuRun one(1, GetParam());
  for (size_t r = 0; r < rows.size(); ++r)
    EXPECT_EQ(sample_one(one, logits, rows[r]).token, together[r].token);
}

INSTANTIATE_TEST_SUITE_P(Isa, SamplingTest, testing::ValuesIn(test::op_isas()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lmdeploy
