// The engine on the GPU, with a tiny model: against the CPU's engine in fp32, and against itself:
// what a request gives in company equals what it gives alone.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <thread>

#include "kernels/gather_rows.h"
#include "tests/engine/collector.h"
#include "tests/engine/random_requests.h"
#include "tests/engine/tiny_model.h"

namespace lmdeploy {
namespace {

using testing::Answer;
using testing::RandomRequests;
using testing::Submitted;
using testing::TinyModel;
using testing::expect_blocks_come_back;

std::unique_ptr<Engine> make_engine(const TinyModel& model, const EngineOptions& options) {
  Result<std::unique_ptr<Engine>> engine =
      Engine::create(model.path(), options, "", Logger(LogLevel::kError));
  CHECK(engine.ok(), "{}", engine.status().message());
  return std::move(*engine);
}

EngineOptions on(const char* device, const char* dtype) {
  EngineOptions options;
  options.device = device;
  options.dtype = dtype;
  options.cache_block_seq_len = 32;
  options.max_prefill_token_num = 512;
  options.max_batch_size = 16;
  options.cache_max_entry_count = 2000;
  options.cpu_threads = 2;
  return options;
}

// Few blocks, small chunks: prompts are cut, sequences preempted, prefixes found.
EngineOptions cramped(const char* dtype) {
  EngineOptions options = on("cuda", dtype);
  options.cache_max_entry_count = 24;
  options.max_batch_size = 12;
  options.max_prefill_token_num = 48;
  options.enable_prefix_caching = true;
  return options;
}

// Requests through `busy`, at most 24 at a time, some cancelled; check(request, got, cancelled)
// when each has ended.
template <class Check>
void run_trace(Engine& busy, RandomRequests& requests, int count, bool greedy_alone, Check check) {
  struct Open {
    GenerateRequest request;
    Submitted submitted;
    bool cancelled = false;
  };
  std::deque<Open> open;
  const auto settle = [&] {
    Open first = std::move(open.front());
    open.pop_front();
    check(first.request, first.submitted.collector->wait(), first.cancelled);
  };
  for (int i = 0; i < count && !::testing::Test::HasFatalFailure(); ++i) {
    Open next{greedy_alone ? requests.next_greedy() : requests.next(), {}, false};
    next.submitted = testing::submit(busy, next.request);
    open.push_back(std::move(next));
    if (requests.below(12) == 0) {
      Open& victim = open[requests.below(open.size())];
      if (requests.below(2) == 0) victim.submitted.collector->wait_first_piece();
      busy.cancel(victim.submitted.id);
      victim.cancelled = true;
    }
    while (open.size() > 24 && !::testing::Test::HasFatalFailure()) settle();
  }
  while (!open.empty() && !::testing::Test::HasFatalFailure()) settle();
}

// Everything the request gave, to the bit; a cancelled one has given a beginning of it.
void expect_same(const std::vector<Answer>& got, const std::vector<Answer>& alone, bool cancelled) {
  ASSERT_EQ(got.size(), alone.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].error, "");
    ASSERT_LE(got[i].ids.size(), alone[i].ids.size());
    ASSERT_TRUE(std::equal(got[i].ids.begin(), got[i].ids.end(), alone[i].ids.begin()));
    if (cancelled) continue;
    ASSERT_EQ(got[i].ids, alone[i].ids);
    ASSERT_EQ(got[i].text, alone[i].text);
    ASSERT_EQ(got[i].finish, alone[i].finish);
    for (size_t t = 0; t < got[i].tokens.size(); ++t) {
      ASSERT_EQ(got[i].tokens[t].logprob, alone[i].tokens[t].logprob);
    }
  }
}

void run_invariant(const TinyModel& model, uint64_t seed) {
  EngineOptions busy_options = cramped("bfloat16"), alone_options = on("cuda", "bfloat16");
  busy_options.batch_invariant = alone_options.batch_invariant = true;
  const auto busy = make_engine(model, busy_options), alone = make_engine(model, alone_options);
  RandomRequests requests(seed);
  run_trace(*busy, requests, 2000, false,
            [&](const GenerateRequest& request, const std::vector<Answer>& got, bool cancelled) {
              expect_same(got, testing::generate(*alone, request), cancelled);
            });
  expect_blocks_come_back(*busy);
  const EngineStats stats = busy->stats();
  std::printf("preempted %lld, cached tokens %lld, steps %lld\n",
              static_cast<long long>(stats.preempted), static_cast<long long>(stats.cached_tokens),
              static_cast<long long>(stats.steps));
  EXPECT_GT(stats.cached_tokens, 0);
}

TEST(CudaEngine, InvariantRequestsGiveWhatTheyGiveAlone) { run_invariant(TinyModel(), 1); }

TEST(CudaEngine, InvariantRequestsWithASlidingWindow) {
  run_invariant(TinyModel({.sliding_window = 40}), 2);
}

// Without batch_invariant a sum may be rounded another way: where the first token differs, the two
// best must have been close. (In float16: a random model's logits in bfloat16 are only good to
// 0.3.)
TEST(CudaEngine, FirstDifferencesAreBetweenCloseTokens) {
  const TinyModel model;
  const auto busy = make_engine(model, cramped("float16"));
  const auto alone = make_engine(model, on("cuda", "float16"));
  RandomRequests requests(3);
  int differences = 0;
  run_trace(*busy, requests, 2000, true,
            [&](const GenerateRequest& request, const std::vector<Answer>& got, bool) {
              const Answer want = testing::generate(*alone, request)[0];
              ASSERT_EQ(got[0].error, "");
              for (size_t t = 0; t < std::min(got[0].ids.size(), want.ids.size()); ++t) {
                if (got[0].ids[t] == want.ids[t]) continue;
                ++differences;
                const auto& top = want.tokens[t].top;
                ASSERT_EQ(top.size(), 2u);
                ASSERT_LT(top[0].logprob - top[1].logprob, 0.05f) << "token " << t;
                break;
              }
            });
  expect_blocks_come_back(*busy);
  std::printf("%d of 2000 requests differ from their lone runs\n", differences);
}

TEST(CudaEngine, Fp32GreedyTokensAndLogprobsEqualTheCpus) {
  const TinyModel model;
  const auto gpu = make_engine(model, on("cuda", "float32"));
  const auto cpu = make_engine(model, on("cpu", "float32"));
  RandomRequests requests(4);
  for (int i = 0; i < 40; ++i) {
    GenerateRequest request = requests.next_greedy();
    request.prompt_logprobs = request.last_logits = true;
    if (i % 4 == 1) request.sampling.repetition_penalty = 1.2;
    if (i % 4 == 2) request.sampling.bad_words = {"a", "bc", "def"};
    if (i % 4 == 3) request.sampling.min_new_tokens = 10;
    const Submitted got = testing::submit(*gpu, request), want = testing::submit(*cpu, request);
    const Answer answer = got.collector->wait()[0], expected = want.collector->wait()[0];
    ASSERT_EQ(answer.ids, expected.ids) << i;
    ASSERT_EQ(answer.finish, expected.finish) << i;
    for (size_t t = 0; t < answer.tokens.size(); ++t) {
      ASSERT_NEAR(answer.tokens[t].logprob, expected.tokens[t].logprob, 1e-3);
      ASSERT_EQ(answer.tokens[t].top.size(), 2u);
    }
    ASSERT_EQ(got.collector->prompt_logprobs.size(), request.prompt.size());
    for (size_t t = 1; t < request.prompt.size(); ++t) {
      ASSERT_NEAR(got.collector->prompt_logprobs[t].logprob,
                  want.collector->prompt_logprobs[t].logprob, 1e-3);
    }
    ASSERT_EQ(got.collector->last_logits.size(), want.collector->last_logits.size());
    for (size_t t = 0; t < want.collector->last_logits.size(); ++t) {
      ASSERT_NEAR(got.collector->last_logits[t], want.collector->last_logits[t], 1e-3);
    }
  }
}

TEST(CudaEngine, SeededDrawsInFp32EqualTheCpus) {
  const TinyModel model;
  const auto gpu = make_engine(model, on("cuda", "float32"));
  const auto cpu = make_engine(model, on("cpu", "float32"));
  RandomRequests requests(5);
  int equal = 0;
  for (int i = 0; i < 40; ++i) {
    const GenerateRequest request = requests.next();
    equal += testing::generate(*gpu, request)[0].ids == testing::generate(*cpu, request)[0].ids;
  }
  EXPECT_GE(equal, 38);  // a draw may fall between what fp32 rounds apart
}

TEST(CudaEngine, EagerModeGivesWhatGraphsGive) {
  const TinyModel model;
  EngineOptions options = on("cuda", "bfloat16");
  options.batch_invariant = true;
  const auto graphs = make_engine(model, options);
  options.eager_mode = true;
  const auto eager = make_engine(model, options);
  RandomRequests requests(8);
  for (int i = 0; i < 40 && !::testing::Test::HasFatalFailure(); ++i) {
    const GenerateRequest request = requests.next();
    expect_same(testing::generate(*eager, request), testing::generate(*graphs, request), false);
  }
}

// Few steps of every kind, for compute-sanitizer.
TEST(CudaEngine, SmallMixOfRequests) {
  const TinyModel model;
  EngineOptions options = cramped("bfloat16");
  const auto engine = make_engine(model, options);
  RandomRequests requests(6);
  run_trace(*engine, requests, 30, false,
            [](const GenerateRequest&, const std::vector<Answer>& got, bool) {
              for (const Answer& answer : got) ASSERT_EQ(answer.error, "");
            });
  expect_blocks_come_back(*engine);
}

TEST(CudaEngine, NonFiniteLogitsEndTheirRequestAlone) {
  constexpr int32_t kNaN = 7;
  const TinyModel model({.nan_token = kNaN});
  EngineOptions options = on("cuda", "bfloat16");
  options.batch_invariant = true;
  const auto engine = make_engine(model, options);
  RandomRequests requests(7);
  std::vector<GenerateRequest> asked;
  std::vector<Submitted> submitted;
  for (int i = 0; i < 12; ++i) {
    GenerateRequest request = requests.next_greedy();
    std::replace(request.prompt.begin(), request.prompt.end(), kNaN, kNaN + 1);
    request.sampling.bad_token_ids = {kNaN};
    if (i % 4 == 2) request.prompt[request.prompt.size() / 2] = kNaN;
    asked.push_back(request);
    submitted.push_back(testing::submit(*engine, request));
  }
  for (size_t i = 0; i < asked.size(); ++i) {
    const std::vector<Answer> got = submitted[i].collector->wait();
    if (i % 4 == 2) {
      EXPECT_EQ(got[0].finish, FinishReason::kError);
      EXPECT_NE(got[0].error.find("no finite logit"), std::string::npos) << got[0].error;
      EXPECT_TRUE(got[0].ids.empty());
    } else {
      expect_same(got, testing::generate(*engine, asked[i]), false);
    }
  }
  expect_blocks_come_back(*engine);
}

// Reads through a pointer to nowhere: the context of the whole process is gone after it.
void break_device() {
  const Device device{DeviceType::kCuda, 0};
  const auto stream = make_stream(device, 0, {});
  Arena arena(device);
  Ctx ctx{**stream, arena};
  const Tensor rows(Shape{4}, DType::kI32, device), out(Shape{4, 64}, DType::kF32, device);
  const TensorView nowhere(reinterpret_cast<void*>(0x1000), DType::kF32, Shape{4, 64}, device);
  gather_rows(ctx, nowhere, rows, out);
  (*stream)->synchronize();
}

// 70 where the request got its error and the engine ends the process, 1 where not.
[[noreturn]] void answer_after_failure(const TinyModel& model) {
  const auto engine = make_engine(model, on("cuda", "bfloat16"));
  break_device();
  GenerateRequest request;
  request.prompt = {1, 2, 3};
  request.sampling.max_new_tokens = 5;
  const Answer answer = testing::generate(*engine, request)[0];
  const bool told = answer.finish == FinishReason::kError &&
                    answer.error.find("step 1") != std::string::npos &&
                    answer.error.find("cudaErrorIllegalAddress") != std::string::npos;
  if (!told) std::_Exit(1);
  std::this_thread::sleep_for(std::chrono::seconds(10));
  std::_Exit(2);
}

TEST(CudaEngineDeathTest, AFailedDeviceEndsRequestsWithAnErrorAndTheProcessWith70) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const TinyModel model;
  EXPECT_EXIT(answer_after_failure(model), ::testing::ExitedWithCode(70), "the device has failed");
}

TEST(CudaEngine, SaysWhatDoesNotFit) {
  const TinyModel model;
  EngineOptions options = on("cuda", "bfloat16");
  options.cache_max_entry_count = 100e6;
  const auto engine = Engine::create(model.path(), options, "", Logger(LogLevel::kError));
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.status().code(), StatusCode::kResourceExhausted);
  EXPECT_NE(engine.status().message().find("--cache-max-entry-count"), std::string::npos);
}

}  // namespace
}  // namespace lmdeploy
