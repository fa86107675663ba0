// The workloads and figures of `lmdeploy bench`.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <set>

#include "cli/bench/limit.h"
#include "cli/bench/report.h"
#include "cli/bench/workload.h"

namespace lmdeploy::cli {
namespace {

std::string written(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + name;
  std::ofstream(path) << text;
  return path;
}

TEST(BenchWorkload, LengthsFileGivesDistinctPromptsOfThoseLengths) {
  WorkloadOptions options;
  options.lengths = written("lengths.json", "[[5, 7], [3, 1], [5, 2]]");
  const auto requests = load_workload(options, 1000, nullptr);
  ASSERT_TRUE(requests.ok()) << requests.status().message();
  ASSERT_EQ(requests->size(), 3u);
  EXPECT_EQ((*requests)[0].prompt.size(), 5u);
  EXPECT_EQ((*requests)[0].new_tokens, 7);
  EXPECT_EQ((*requests)[1].prompt.size(), 3u);
  EXPECT_NE((*requests)[0].prompt, (*requests)[2].prompt);
  for (const BenchRequest& request : *requests) {
    for (int32_t id : request.prompt) EXPECT_TRUE(id >= 0 && id < 1000);
  }
  options.num_prompts = 2;
  EXPECT_EQ(load_workload(options, 1000, nullptr)->size(), 2u);
  options.seed = 1;
  EXPECT_NE((*load_workload(options, 1000, nullptr))[0].prompt, (*requests)[0].prompt);
}

TEST(BenchWorkload, RefusesWhatIsNoWorkload) {
  WorkloadOptions none;
  EXPECT_NE(load_workload(none, 10, nullptr).status().message().find("give one of"), std::string::npos);
  WorkloadOptions both;
  both.lengths = written("ok.json", "[[1, 1]]");
  both.random_input_len = 4;
  EXPECT_FALSE(load_workload(both, 10, nullptr).ok());
  for (const char* text : {"[]", "{}", "[[1]]", "[[0, 4]]", "[[1, \"x\"]]", "[[1, 99999999999]]"}) {
    WorkloadOptions bad;
    bad.lengths = written("bad.json", text);
    EXPECT_FALSE(load_workload(bad, 10, nullptr).ok()) << text;
  }
  WorkloadOptions half;
  half.random_input_len = 8;
  EXPECT_FALSE(load_workload(half, 10, nullptr).ok());
}

TEST(BenchWorkload, PromptIdsAreTheBeginningsOfTheLists) {
  const auto ids = read_prompt_ids(written("ids.json", "[[1, 2, 3], [4, 5, 6]]"), 7);
  ASSERT_TRUE(ids.ok()) << ids.status().message();
  const auto requests = requests_from_ids({{2, 9}, {3, 1}, {1, 4}}, *ids);
  ASSERT_TRUE(requests.ok()) << requests.status().message();
  ASSERT_EQ(requests->size(), 3u);
  EXPECT_EQ((*requests)[0].prompt, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ((*requests)[0].new_tokens, 9);
  EXPECT_EQ((*requests)[1].prompt, (std::vector<int32_t>{4, 5, 6}));
  EXPECT_EQ((*requests)[2].prompt, (std::vector<int32_t>{1}));
  EXPECT_NE(requests_from_ids({{4, 1}}, *ids).status().message().find("has 3 ids"), std::string::npos);
  for (const char* text : {"[]", "{}", "[1, 2]", "[[7]]", "[[-1]]", "[[\"1\"]]"}) {
    EXPECT_FALSE(read_prompt_ids(written("bad_ids.json", text), 7).ok()) << text;
  }
}

TEST(BenchReport, PercentilesAreNearestRanks) {
  std::vector<double> values;
  for (int i = 100; i >= 1; --i) values.push_back(i);
  const Percentiles p = percentiles_of(values);
  EXPECT_EQ(p.p50, 50);
  EXPECT_EQ(p.p75, 75);
  EXPECT_EQ(p.p95, 95);
  EXPECT_EQ(p.p99, 99);
  EXPECT_EQ(percentiles_of({3.0}).p99, 3);
  EXPECT_EQ(percentiles_of({}).p50, 0);
}

TEST(BenchReport, SummarizesWhatCallersSaw) {
  RequestRecord first{.sent = 10, .arrivals = {10.5, 10.6, 10.8}, .ended = 10.8, .prompt_tokens = 4, .error = ""};
  RequestRecord second{.sent = 10, .arrivals = {11.5}, .ended = 12, .prompt_tokens = 6, .error = ""};
  RequestRecord failed{.sent = 10, .arrivals = {}, .ended = 10.1, .prompt_tokens = 9, .error = "no"};
  const BenchSummary s = summarize(2, {first, second, failed});
  EXPECT_DOUBLE_EQ(s.seconds, 2);
  EXPECT_EQ(s.failed, 1);
  EXPECT_EQ(s.first_error, "no");
  EXPECT_EQ(s.prompt_tokens, 10);
  EXPECT_EQ(s.completion_tokens, 4);
  EXPECT_DOUBLE_EQ(s.completion_rate(), 2);
  EXPECT_DOUBLE_EQ(s.token_rate(), 7);
  EXPECT_DOUBLE_EQ(s.request_rate(), 1);
  EXPECT_DOUBLE_EQ(s.first_token.least, 0.5);
  EXPECT_DOUBLE_EQ(s.first_token.average, 1);
  EXPECT_NEAR(s.token_latency.p99, 0.2, 1e-9);
  EXPECT_EQ(throughput_csv(s),
            "batch,num_promts,RPS,RPM,FTL(ave)(s),FTL(min)(s),FTL(max)(s),50%(s),75%(s),95%(s),99%(s),"
            "throughput(out tok/s),throughput(total tok/s)\n"
            "2,3,1.000,60.000,1.000,0.500,1.500,0.1000,0.2000,0.2000,0.2000,2.000,7.000\n");
  EXPECT_EQ(generation_csv_row(s, 5, 2, 1.5), "2,5,2,2.000,1.50,1.000,0.500,1.500,0.1000,0.2000,0.2000,0.2000\n");
}

TEST(BenchReport, TellsWhatTheEngineDidMeanwhile) {
  EngineStats before, after;
  before.decode_steps = {.steps = 3, .sequences = 30, .tokens = 30, .seconds = 1};
  before.preempted = 4;
  after.decode_steps = {.steps = 13, .sequences = 50, .tokens = 50, .seconds = 3};
  after.prompt_steps = {.steps = 2, .sequences = 8, .tokens = 100, .seconds = 0.5};
  after.preempted = 5;
  after.device_wait_seconds = 2.25;
  BenchSummary summary;
  EXPECT_FALSE(summary_json(summary).contains("decode_steps"));
  set_steps(summary, before, after);
  const json::object object = summary_json(summary);
  const json::object expected{{"steps", 10}, {"sequences", 20}, {"tokens", 20}, {"seconds", 2.0}};
  EXPECT_EQ(object.at("decode_steps"), expected);
  EXPECT_EQ(object.at("prompt_steps").at("tokens"), 100);
  EXPECT_EQ(object.at("device_wait_seconds"), 2.25);
  EXPECT_EQ(object.at("preemptions"), 1);
}

// Two requests of 2 + 3 tokens at batch 2: 3 steps; KV rows read: 2 * (2 + 3 + 4).
TEST(BenchLimit, CountsTheBytesOfWeightsAndKv) {
  EngineInfo info;
  info.max_batch_size = 8;
  info.weight_bytes = 1000;
  info.kv_bytes_per_token = 10;
  BenchSummary summary;
  summary.concurrency = 2;
  set_limit(summary, info, random_requests({{2, 3}, {2, 3}}, 10, 0), 1.0);
  EXPECT_DOUBLE_EQ(summary.limit_seconds, 3 * 1000 + 18 * 10);
  summary.concurrency = 1;
  set_limit(summary, info, random_requests({{2, 3}, {2, 3}}, 10, 0), 1.0);
  EXPECT_DOUBLE_EQ(summary.limit_seconds, 6 * 1000 + 18 * 10);
}

TEST(BenchLimit, MeasuresTheMemory) {
  const Result<double> rate = measure_bandwidth(Device{}, 1);
  ASSERT_TRUE(rate.ok());
  EXPECT_GT(*rate, 1e8);
  EXPECT_LT(*rate, 1e13);
}

}  // namespace
}  // namespace lmdeploy::cli
