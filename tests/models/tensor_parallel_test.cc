// Every golden cut over 2 and 4 ranks, each a thread with its part of the model.
#include <gtest/gtest.h>

#include <thread>

#include "comm/cpu/thread_group.h"
#include "tests/models/batch_runner.h"
#include "tests/models/golden.h"

namespace lmdeploy {
namespace {

constexpr double kTolerance = 1e-3;

// One rank's part of a test.
struct RankRun {
  Status status;
  GoldenError error;
  size_t weight_bytes = 0;
};

RankRun run_rank(const Golden& golden, const Parallel& parallel, Communicator& ranks) {
  CpuStream stream(1, CpuIsa());
  auto model = load_tiny(golden.config, golden.weights, "float32", stream, parallel);
  if (!model.ok()) return {.status = model.status()};
  return {.error = golden_error(golden, **model, stream, DType::kF32, &ranks),
          .weight_bytes = (*model)->info().weight_bytes};
}

std::vector<RankRun> run_ranks(const Golden& golden, int size) {
  ThreadGroup group(size);
  std::vector<RankRun> runs(static_cast<size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      runs[static_cast<size_t>(rank)] = run_rank(golden, {rank, size}, group.rank(rank));
    });
  }
  for (std::thread& thread : threads) thread.join();
  return runs;
}

class TensorParallelTest : public testing::TestWithParam<std::tuple<std::string, int>> {};

TEST_P(TensorParallelTest, LogitsEqualTransformers) {
  const auto& [name, size] = GetParam();
  const Golden golden = read_golden(name);
  const size_t whole = run_ranks(golden, 1).front().weight_bytes;
  const std::vector<RankRun> runs = run_ranks(golden, size);
  if (!runs.front().status.ok()) {
    for (const RankRun& run : runs) {
      EXPECT_EQ(run.status.message(), runs.front().status.message());
      EXPECT_NE(run.status.message().find("ranks"), std::string::npos) << run.status.message();
    }
    GTEST_SKIP() << runs.front().status.message();
  }
  size_t parts = 0;
  for (const RankRun& run : runs) {
    EXPECT_LE(run.error.max, kTolerance);
    EXPECT_EQ(run.error.max, runs.front().error.max);
    EXPECT_LT(run.weight_bytes, whole * 3 / 4) << "of " << whole;
    parts += run.weight_bytes;
  }
  EXPECT_GE(parts, whole);
}

std::string test_name(const testing::TestParamInfo<std::tuple<std::string, int>>& info) {
  std::string name = std::get<0>(info.param) + "_tp" + std::to_string(std::get<1>(info.param));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, TensorParallelTest,
                         testing::Combine(testing::ValuesIn(golden_names()), testing::Values(2, 4)),
                         test_name);

}  // namespace
}  // namespace lmdeploy
