// Thousands of random requests through an engine with 20 KV blocks: chunked prompts, prefix hits,
// preemption (also of prompts half computed), cancels (also in a request's last step), n > 1, prompt
// logprobs and sessions; full attention, a sliding window, rope by length. Every request's tokens must
// equal those it gives alone in an engine with room, and every block must come back.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>

#include "engine/engine.h"
#include "tests/engine/collector.h"
#include "tests/engine/delayed_runner.h"
#include "tests/engine/random_requests.h"
#include "tests/engine/tiny_model.h"
#include "tests/support/sanitized.h"

namespace lmdeploy {
namespace {

using testing::Answer;
using testing::RandomRequests;
using testing::Submitted;
using testing::TinyModel;
using testing::expect_blocks_come_back;

constexpr int kSlowness = test::kSanitized ? 10 : 1;  // of a step, roughly

enum class Steps { kAtOnce, kOneLate };

std::unique_ptr<Engine> make_engine(const TinyModel& model, const EngineOptions& options,
                                    Steps steps = Steps::kAtOnce) {
  Engine::Hooks hooks;
  if (steps == Steps::kOneLate) {
    hooks.wrap_runner = [](std::unique_ptr<ModelRunner> runner) -> std::unique_ptr<ModelRunner> {
      return std::make_unique<testing::DelayedRunner>(std::move(runner));
    };
  }
  Result<std::unique_ptr<Engine>> engine =
      Engine::create(model.path(), options, "", Logger(LogLevel::kError), std::move(hooks));
  CHECK(engine.ok(), "{}", engine.status().message());
  return std::move(*engine);
}

EngineOptions roomy() {
  EngineOptions options;
  options.device = "cpu";
  options.dtype = "float32";
  options.cache_block_seq_len = 32;
  options.cpu_threads = 1;
  return options;
}

EngineOptions cramped() {
  EngineOptions options = roomy();
  options.cache_max_entry_count = 20;
  options.max_batch_size = 12;
  options.max_prefill_token_num = 48;
  options.enable_prefix_caching = true;
  options.cpu_threads = 2;
  return options;
}

void expect_equal(const std::vector<Answer>& got, const std::vector<Answer>& alone, size_t request) {
  ASSERT_EQ(got.size(), alone.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].error, "") << "request " << request;
    ASSERT_EQ(got[i].ids, alone[i].ids) << "request " << request << " choice " << i;
    ASSERT_EQ(got[i].text, alone[i].text) << "request " << request << " choice " << i;
    ASSERT_EQ(got[i].finish, alone[i].finish) << "request " << request << " choice " << i;
    for (size_t t = 0; t < got[i].tokens.size(); ++t) {
      ASSERT_EQ(got[i].tokens[t].logprob, alone[i].tokens[t].logprob) << "request " << request;
    }
  }
}

// A cancelled request has given a beginning of what it gives alone.
void expect_prefix(const std::vector<Answer>& got, const std::vector<Answer>& alone, size_t request) {
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_LE(got[i].ids.size(), alone[i].ids.size()) << "request " << request;
    ASSERT_TRUE(std::equal(got[i].ids.begin(), got[i].ids.end(), alone[i].ids.begin())) << "request " << request;
  }
}

void expect_equal_scores(const std::vector<TokenOutput>& got, const std::vector<TokenOutput>& alone,
                         size_t request) {
  ASSERT_EQ(got.size(), alone.size()) << "request " << request;
  for (size_t t = 1; t < got.size(); ++t) {
    ASSERT_EQ(got[t].id, alone[t].id) << "request " << request << " token " << t;
    ASSERT_EQ(got[t].logprob, alone[t].logprob) << "request " << request << " token " << t;
    ASSERT_EQ(got[t].top.size(), alone[t].top.size()) << "request " << request << " token " << t;
    for (size_t k = 0; k < got[t].top.size(); ++k) ASSERT_EQ(got[t].top[k].token, alone[t].top[k].token);
  }
}

// One trace: an engine kept busy with up to 25 requests, and one that runs each of them alone.
class Trace {
 public:
  Trace(const TinyModel& model, uint64_t seed, Steps steps = Steps::kAtOnce)
      : alone_(make_engine(model, roomy())),
        busy_(make_engine(model, cramped(), steps)),
        requests_(seed) {}

  EngineStats run(int count) {
    for (int i = 0; i < count && !::testing::Test::HasFatalFailure(); ++i) {
      GenerateRequest request = requests_.next();
      request.prompt_logprobs = requests_.below(6) == 0;
      open_.push_back(begin(std::move(request)));
      if (requests_.below(12) == 0) cancel(open_[requests_.below(open_.size())]);
      while (open_.size() > 24 && !::testing::Test::HasFatalFailure()) settle();
    }
    while (!open_.empty() && !::testing::Test::HasFatalFailure()) settle();
    expect_blocks_come_back(*busy_);
    return busy_->stats();
  }
  // Requests that were cancelled with one token to go and ended by themselves all the same: the cancel
  // met the step that finished them.
  int cancels_in_last_step() const { return cancels_in_last_step_; }

 private:
  struct Open {
    GenerateRequest request;
    Submitted submitted;
    std::shared_ptr<std::atomic<bool>> cancelled;
    bool in_last_step = false;
  };

  Open begin(GenerateRequest request) {
    Open open{request, {}, std::make_shared<std::atomic<bool>>(false)};
    open.in_last_step = request.sampling.n == 1 && requests_.below(6) == 0;
    auto collector = std::make_shared<testing::Collector>(request.sampling.n);
    const int64_t before_last = open.in_last_step ? *request.sampling.max_new_tokens - 1 : -1;
    const auto id = std::make_shared<std::atomic<RequestId>>(0);  // the sink may be called before submit() is back
    Result<RequestId> submitted = busy_->submit(
        std::move(request), [this, collector, before_last, id, cancelled = open.cancelled](GenerateOutput&& output) {
          if (!output.finish && output.generated_tokens == before_last && *id != 0) {
            *cancelled = true;
            busy_->cancel(*id);
          }
          return collector->take(std::move(output));
        });
    CHECK(submitted.ok(), "{}", submitted.status().message());
    *id = *submitted;
    open.submitted = {std::move(collector), *submitted};
    return open;
  }

  void cancel(Open& victim) {
    if (requests_.below(2) == 0) victim.submitted.collector->wait_first_piece();
    *victim.cancelled = true;
    victim.in_last_step = false;
    busy_->cancel(victim.submitted.id);
  }

  void settle() {
    const Open open = std::move(open_.front());
    open_.pop_front();
    const std::vector<Answer> got = open.submitted.collector->wait();
    const Submitted lone = testing::submit(*alone_, open.request);
    const std::vector<Answer> want = lone.collector->wait();
    const bool aborted = std::any_of(got.begin(), got.end(),
                                     [](const Answer& answer) { return answer.finish == FinishReason::kAbort; });
    if (aborted) {
      ASSERT_TRUE(*open.cancelled) << "request " << settled_;
      expect_prefix(got, want, settled_);
    } else {
      expect_equal(got, want, settled_);
      expect_equal_scores(open.submitted.collector->prompt_logprobs, lone.collector->prompt_logprobs, settled_);
      if (open.in_last_step && *open.cancelled) ++cancels_in_last_step_;
    }
    ++settled_;
  }

  std::unique_ptr<Engine> alone_;
  std::deque<Open> open_;
  std::unique_ptr<Engine> busy_;  // its sinks use the members above
  RandomRequests requests_;
  size_t settled_ = 0;
  int cancels_in_last_step_ = 0;
};

// The few requests of a slow build may not meet what the test is for: more of them, then.
EngineStats run_until_everything_was_met(Trace& trace, int count) {
  EngineStats stats = trace.run(count);
  for (int i = 0; i < 20; ++i) {
    if (stats.preempted_in_prompt > 0 && trace.cancels_in_last_step() > 0) break;
    stats = trace.run(count);
  }
  return stats;
}

TEST(EngineRandom, EveryRequestGivesWhatItGivesAlone) {
  const TinyModel model;
  Trace trace(model, 1);
  const EngineStats stats = run_until_everything_was_met(trace, 2000 / kSlowness);
  EXPECT_GT(stats.preempted, stats.preempted_in_prompt);
  EXPECT_GT(stats.preempted_in_prompt, 0);
  EXPECT_GT(stats.cached_tokens, 0);
  EXPECT_GT(trace.cancels_in_last_step(), 0);
  RecordProperty("preempted", static_cast<int>(stats.preempted));
  RecordProperty("preempted_in_prompt", static_cast<int>(stats.preempted_in_prompt));
  RecordProperty("cancels_in_last_step", trace.cancels_in_last_step());
  RecordProperty("cached_tokens", static_cast<int>(stats.cached_tokens));
}

// As on a GPU: overrun rows, and ends, stop strings and cancels that meet a step on its way.
TEST(EngineRandom, WithResultsOneStepLate) {
  const TinyModel model;
  Trace trace(model, 5, Steps::kOneLate);
  const EngineStats stats = run_until_everything_was_met(trace, 2000 / kSlowness);
  EXPECT_GT(stats.preempted, 0);
  EXPECT_GT(stats.preempted_in_prompt, 0);
  EXPECT_GT(stats.cached_tokens, 0);
}

TEST(EngineRandom, WithASlidingWindow) {
  const TinyModel model({.sliding_window = 40});
  const EngineStats stats = Trace(model, 2).run(2000 / kSlowness);
  EXPECT_GT(stats.cached_tokens, 0);
}

// The keys of a prompt are rotated by its length: a sequence that starts again must rotate by the
// length it began with, and blocks of one prompt fit no other.
TEST(EngineRandom, WithRopeByLength) {
  const TinyModel model({.max_position = 64, .dynamic_ntk = 4});
  Trace trace(model, 4);
  const EngineStats stats = run_until_everything_was_met(trace, 1000 / kSlowness);
  EXPECT_GT(stats.preempted, 0);
  EXPECT_GT(stats.preempted_in_prompt, 0);
}

TEST(EngineRandom, SessionsContinueAsOneConversation) {
  const TinyModel model;
  for (const bool prefix_caching : {false, true}) {
    EngineOptions options = cramped();
    options.enable_prefix_caching = prefix_caching;
    std::unique_ptr<Engine> busy = make_engine(model, options);
    std::unique_ptr<Engine> alone = make_engine(model, roomy());
    RandomRequests requests(3);
    std::vector<std::vector<int32_t>> history(5);
    for (int round = 0; round < 6; ++round) {
      struct Turn {
        size_t session;
        GenerateRequest request;
        Submitted submitted;
      };
      std::vector<Turn> turns;
      for (size_t session = 0; session < history.size(); ++session) {
        GenerateRequest request = requests.next();
        request.prompt.resize(std::min<size_t>(request.prompt.size(), 30));
        request.sampling.n = 1;
        request.sampling.max_new_tokens = 1 + requests.below(20);
        GenerateRequest whole = request;
        whole.prompt.insert(whole.prompt.begin(), history[session].begin(), history[session].end());
        request.session = SessionRef{static_cast<int64_t>(session), false};
        turns.push_back({session, std::move(whole), testing::submit(*busy, std::move(request))});
      }
      for (Turn& turn : turns) {
        const std::vector<Answer> got = turn.submitted.collector->wait();
        ASSERT_NO_FATAL_FAILURE(expect_equal(got, testing::generate(*alone, turn.request), turn.session));
        history[turn.session] = turn.request.prompt;
        history[turn.session].insert(history[turn.session].end(), got[0].ids.begin(), got[0].ids.end());
        EXPECT_EQ(busy->session_tokens(static_cast<int64_t>(turn.session)),
                  static_cast<int64_t>(history[turn.session].size()));
      }
    }
    EXPECT_GT(busy->stats().cached_tokens, 0);
    for (size_t session = 0; session < history.size(); ++session) {
      EXPECT_TRUE(busy->end_session(static_cast<int64_t>(session)).ok());
      EXPECT_FALSE(busy->end_session(static_cast<int64_t>(session)).ok());
    }
    expect_blocks_come_back(*busy);
  }
}

}  // namespace
}  // namespace lmdeploy
