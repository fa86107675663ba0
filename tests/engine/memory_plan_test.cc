// Options that are refused by name, what memory there is, and what is planned from it.

#include "engine/memory_plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/engine.h"
#include "engine/model_startup.h"
#include "tests/checkpoint/temporary_directory.h"
#include "tests/engine/tiny_model.h"

namespace lmdeploy {
namespace {

constexpr double kGiB = 1 << 30;

void expect_message(const Status& status, StatusCode code, std::initializer_list<const char*> parts) {
  EXPECT_EQ(status.code(), code) << status.message();
  for (const char* part : parts) {
    EXPECT_NE(status.message().find(part), std::string::npos) << part << " is not in: " << status.message();
  }
}

std::vector<KvGroup> one_group() { return {{KvGroup::Kind::kFull, 0, {0, 1}, 4, 64}}; }

MemoryPlanInput plan_input(const std::vector<KvGroup>& groups) {
  return {groups, DType::kF16, 64, {size_t{9} << 30, "the test's limit"}, size_t{1} << 30, size_t{1} << 28, 16, 4096,
          512,    0.5,         true};
}

TEST(MemoryPlan, TakesTheShareOfWhatIsLeftAndNoMoreThanTheBatchCanUse) {
  const std::vector<KvGroup> groups = one_group();
  MemoryPlanInput input = plan_input(groups);
  Result<MemoryPlan> plan = plan_memory(input);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->page_bytes, size_t{2} * 2 * 4 * 64 * 64 * 2);
  EXPECT_EQ(plan->num_blocks, 16 * 4096 / 64);
  EXPECT_EQ(plan->session_len, 4096);
  input.on_cpu = false;
  plan = plan_memory(input);
  EXPECT_NEAR(plan->num_blocks, (9.0 - 1.0 - 0.25) * kGiB * 0.5 / static_cast<double>(plan->page_bytes), 1);
  input.cache_max_entry_count = 10;
  plan = plan_memory(input);
  EXPECT_EQ(plan->num_blocks, 10);
  EXPECT_EQ(plan->session_len, 640);
}

TEST(MemoryPlan, WeightsAndWorkspaceThatDoNotFit) {
  const std::vector<KvGroup> groups = one_group();
  MemoryPlanInput input = plan_input(groups);
  input.weight_bytes = size_t{70} << 30;
  expect_message(plan_memory(input).status(), StatusCode::kResourceExhausted,
                 {"70.00 GiB of weights", "0.25 GiB of workspace", "are 70.25 GiB", "9.00 GiB are available",
                  "the test's limit", "--max-prefill-token-num"});
}

TEST(MemoryPlan, ABlockCountThatDoesNotFit) {
  const std::vector<KvGroup> groups = one_group();
  MemoryPlanInput input = plan_input(groups);
  const double page = static_cast<double>(KvCache::page_bytes(groups, 64, DType::kF16));
  const double fitting = std::floor(7.75 * kGiB / page);
  input.on_cpu = false;
  input.cache_max_entry_count = fitting;
  EXPECT_TRUE(plan_memory(input).ok());
  input.cache_max_entry_count = fitting + 1;
  expect_message(plan_memory(input).status(), StatusCode::kResourceExhausted,
                 {"--cache-max-entry-count", "GiB of weights", "9.00 GiB are available", "--session-len",
                  fmt::format("{} blocks fit", fitting).c_str()});
  input.cache_max_entry_count = 1e9;
  EXPECT_FALSE(plan_memory(input).ok());
  input.on_cpu = true;  // which takes no more than 16 sequences of 4096 tokens can use
  EXPECT_EQ(plan_memory(input)->num_blocks, 1024);
  input.max_batch_size = 65536;
  input.session_len = int64_t{1} << 30;
  EXPECT_FALSE(plan_memory(input).ok());
}

TEST(MemoryPlan, AShareThatHoldsNoSequence) {
  const std::vector<KvGroup> groups = one_group();
  MemoryPlanInput input = plan_input(groups);
  input.memory.available = (size_t{5} << 28) + (size_t{1} << 16);
  expect_message(plan_memory(input).status(), StatusCode::kResourceExhausted,
                 {"no room for the KV cache", "raise --cache-max-entry-count", "1.25 GiB"});
}

TEST(HostMemory, TheLeastOfTheMachineAndTheGroupsAbove) {
  const TemporaryDirectory root;
  const std::string proc = root.path() + "/proc", groups = root.path() + "/groups";
  root.write("proc/meminfo", "MemTotal: 900 kB\nMemFree: 10 kB\nMemAvailable: 800 kB\nHugePages_Total: 0\n");
  EXPECT_EQ(host_memory(proc, groups).available, size_t{800} << 10);
  EXPECT_EQ(host_memory(proc, groups).limit, "the machine's MemAvailable");

  root.write("proc/self/cgroup", "0::/a/b\n");
  root.write("groups/a/b/memory.max", "max\n");
  root.write("groups/a/b/memory.current", "5\n");
  root.write("groups/a/memory.max", "500000\n");
  root.write("groups/a/memory.current", "300000\n");
  root.write("groups/a/memory.stat", "anon 100000\nactive_file 50000\ninactive_file 40000\n");
  EXPECT_EQ(host_memory(proc, groups).available, 500000u - 300000u + 90000u);
  EXPECT_EQ(host_memory(proc, groups).limit, "this container's memory limit");
  root.write("groups/a/memory.current", "700000\n");
  EXPECT_EQ(host_memory(proc, groups).available, 0u);

  root.write("proc/self/cgroup", "11:cpu,cpuacct:/x\n7:hugetlb,memory:/not/mounted/here\nnonsense\n");
  root.write("groups/memory/memory.limit_in_bytes", "1000\n");
  root.write("groups/memory/memory.usage_in_bytes", "900\n");
  root.write("groups/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 100\n");
  EXPECT_EQ(host_memory(proc, groups).available, 200u);
}

TEST(HostMemory, TheLimitsOfTheProcess) {
  const TemporaryDirectory root;
  const std::string proc = root.path() + "/proc", groups = root.path() + "/groups";
  root.write("proc/meminfo", "MemAvailable: 8000000 kB\n");
  root.write("proc/self/status", "Name:\tx\nVmSize:\t 1000000 kB\nVmData:\t  200000 kB\n");
  const auto limits = [&](const std::string& data, const std::string& space) {
    root.write("proc/self/limits", "Limit                     Soft Limit           Hard Limit           Units\n"
                                   "Max data size             " + data + "            unlimited            bytes\n"
                                   "Max address space         " + space + "            unlimited            bytes\n");
    return host_memory(proc, groups);
  };
  constexpr size_t kKiB = 1024, kForThreads = size_t{512} << 20;
  EXPECT_EQ(limits("unlimited", "unlimited").available, 8000000 * kKiB);
  const HostMemory space = limits("unlimited", "6144000000");
  EXPECT_EQ(space.available, 6144000000 - 1000000 * kKiB - kForThreads);
  EXPECT_NE(space.limit.find("ulimit -v"), std::string::npos) << space.limit;
  const HostMemory data = limits("2000000000", "6144000000");
  EXPECT_EQ(data.available, 2000000000 - 200000 * kKiB - kForThreads);
  EXPECT_NE(data.limit.find("ulimit -d"), std::string::npos) << data.limit;
  EXPECT_EQ(limits("1000", "unlimited").available, 0u);
}

TEST(ModelStartup, ACacheThatCannotBeHadIsAStatus) {
  const Device cpu{DeviceType::kCpu, 0};
  EXPECT_TRUE(check_allocation(cpu, size_t{1} << 20).ok());
  expect_message(check_allocation(cpu, size_t{1} << 60), StatusCode::kResourceExhausted,
                 {"the KV cache", "GiB", "--cache-max-entry-count"});
}

TEST(ModelStartup, TheVocabularyThatTheGpusSamplerTakes) {
  const Device gpu{DeviceType::kCuda, 0};
  EXPECT_TRUE(check_vocabulary(524288, gpu).ok());
  EXPECT_TRUE(check_vocabulary(600000, {DeviceType::kCpu, 0}).ok());
  expect_message(check_vocabulary(524289, gpu), StatusCode::kInvalidArgument,
                 {"524289", "524288", "--device cpu"});
}

template <class Change>
EngineOptions changed(Change change) {
  EngineOptions options;
  change(options);
  return options;
}

TEST(EngineOptions, ValuesOutOfRangeAreRefusedByName) {
  const auto refused = [](auto change, const char* name) {
    expect_message(check_options(changed(change)), StatusCode::kInvalidArgument, {name});
  };
  EXPECT_TRUE(check_options({}).ok());
  for (double count : {0.0, -1.0, 1.5, 2e9, std::numeric_limits<double>::quiet_NaN(),
                       std::numeric_limits<double>::infinity()}) {
    refused([&](EngineOptions& o) { o.cache_max_entry_count = count; }, "--cache-max-entry-count");
  }
  refused([](EngineOptions& o) { o.session_len = -1; }, "--session-len");
  refused([](EngineOptions& o) { o.session_len = INT64_MAX; }, "--session-len");
  refused([](EngineOptions& o) { o.max_batch_size = INT32_MAX; }, "--max-batch-size");
  refused([](EngineOptions& o) { o.rope_scaling_factor = std::nan(""); }, "--rope-scaling-factor");
  refused([](EngineOptions& o) { o.max_prefill_iters = 0; }, "--max-prefill-iters");
  refused([](EngineOptions& o) { o.cache_block_seq_len = 48; }, "--cache-block-seq-len");
  for (double count : {0.1, 1.0, 4096.0}) {
    EXPECT_TRUE(check_options(changed([&](EngineOptions& o) { o.cache_max_entry_count = count; })).ok());
  }
}

TEST(EngineOptions, WhatTheDocumentsHaveAndThisVersionHasNot) {
  for (const char* policy : {"4", "8", "16", "17", "42", "int4", "int8", "fp8", "fp8_e5m2", "turbo_quant"}) {
    expect_message(check_options(changed([&](EngineOptions& o) { o.quant_policy = policy; })),
                   StatusCode::kUnsupported, {"--quant-policy", policy, "not in this version"});
  }
  for (const char* format : {"awq", "gptq", "llama"}) {
    expect_message(check_options(changed([&](EngineOptions& o) { o.model_format = format; })),
                   StatusCode::kUnsupported, {"--model-format", format, "not in this version"});
  }
  for (const char* policy : {"0", "none"}) {
    EXPECT_TRUE(check_options(changed([&](EngineOptions& o) { o.quant_policy = policy; })).ok());
  }
}

TEST(EngineOptions, ModelFormatIsWhatTheModelIs) {
  const auto check = [](const char* format, const char* stored) {
    return check_model_format(changed([&](EngineOptions& o) { o.model_format = format; }), "the/model", stored);
  };
  for (const char* stored : {"hf", "gguf", "fp8", "mxfp4"}) {
    EXPECT_TRUE(check("", stored).ok());
    EXPECT_TRUE(check(stored, stored).ok());
  }
  EXPECT_TRUE(check("hf", "fp8").ok());
  expect_message(check("hf", "gguf"), StatusCode::kInvalidArgument, {"--model-format is hf", "the/model", "a file of gguf weights"});
  expect_message(check("gguf", "hf"), StatusCode::kInvalidArgument, {"a directory of unquantized weights"});
  expect_message(check("fp8", "hf"), StatusCode::kInvalidArgument, {"--model-format is fp8", "unquantized"});
  expect_message(check("mxfp4", "fp8"), StatusCode::kInvalidArgument, {"--model-format is mxfp4", "fp8 weights"});
}

// Nothing is loaded, and the error has the sum, the limit and the flag.
TEST(MemoryPlan, AnEngineThatDoesNotFitIsNotLoaded) {
  const testing::TinyModel model;
  EngineOptions options;
  options.device = "cpu";
  options.model_format = "hf";
  options.session_len = 1 << 30;
  options.max_batch_size = 1 << 16;
  options.cache_max_entry_count = 1e9;
  bool loading = false;
  Engine::Hooks hooks;
  hooks.on_load_progress = [&](double) { loading = true; };
  const auto engine = Engine::create(model.path(), options, "", Logger(LogLevel::kError), hooks);
  ASSERT_FALSE(engine.ok());
  expect_message(engine.status(), StatusCode::kResourceExhausted,
                 {"the KV cache does not fit", "GiB of weights", "are available", "--cache-max-entry-count"});
  EXPECT_FALSE(loading);
  options.model_format = "gguf";
  expect_message(Engine::create(model.path(), options, "", Logger(LogLevel::kError), {}).status(), StatusCode::kInvalidArgument,
                 {"--model-format is gguf"});
}

}  // namespace
}  // namespace lmdeploy
