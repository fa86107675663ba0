// 2,000 random requests through an engine with 20 KV blocks: chunked prompts, prefix hits, preemption,
// cancels, n > 1 and sessions. Every request's tokens must equal those it gives alone in an engine
// with room, and every block must come back.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <random>
#include <thread>

#include "engine/engine.h"
#include "tests/engine/collector.h"
#include "tests/engine/tiny_model.h"

namespace lmdeploy {
namespace {

using testing::Answer;
using testing::Submitted;
using testing::TinyModel;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kRequests = 200;
#else
constexpr int kRequests = 2000;
#endif

std::unique_ptr<Engine> make_engine(const TinyModel& model, const EngineOptions& options) {
  Result<std::unique_ptr<Engine>> engine = Engine::create(model.path(), options, "", Logger(LogLevel::kError));
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

class RandomRequests {
 public:
  explicit RandomRequests(uint64_t seed) : random_(seed) {
    for (int i = 0; i < 6; ++i) {
      shared_.push_back(tokens(below(90) + 40));
    }
  }

  GenerateRequest next() {
    GenerateRequest request;
    // A third start with a prompt that others share, some of them are exactly that prompt.
    if (below(3) > 0) {
      const std::vector<int32_t>& common = shared_[below(shared_.size())];
      request.prompt.assign(common.begin(), common.begin() + 1 + static_cast<std::ptrdiff_t>(below(common.size())));
      if (below(2) == 0) request.prompt = common;
    }
    if (request.prompt.empty() || below(2) == 0) {
      const std::vector<int32_t> tail = tokens(below(60) + 1);
      request.prompt.insert(request.prompt.end(), tail.begin(), tail.end());
    }
    SamplingParams& sampling = request.sampling;
    sampling.max_new_tokens = 1 + below(40);
    sampling.seed = random_();
    sampling.greedy = below(4) == 0;
    sampling.temperature = 0.7;
    sampling.skip_special_tokens = false;
    if (below(3) == 0) sampling.top_k = 1 + static_cast<int>(below(40));
    if (below(3) == 0) sampling.top_p = 0.5 + 0.05 * static_cast<double>(below(10));
    if (below(4) == 0) sampling.repetition_penalty = 1.1;
    if (below(6) == 0) sampling.frequency_penalty = 0.5;
    if (below(5) == 0) sampling.n = 2 + static_cast<int>(below(3));
    if (below(5) == 0) sampling.min_new_tokens = 5;
    if (below(8) == 0) sampling.ignore_eos = true;
    if (below(5) == 0) sampling.stop = {std::string(1, static_cast<char>('a' + below(26)))};
    if (below(8) == 0) sampling.logprobs = 3;
    return request;
  }
  size_t below(size_t n) { return static_cast<size_t>(random_() % n); }

 private:
  std::vector<int32_t> tokens(size_t count) {
    std::vector<int32_t> out;
    for (size_t i = 0; i < count; ++i) out.push_back(static_cast<int32_t>(below(256)));
    return out;
  }
  std::mt19937_64 random_;
  std::vector<std::vector<int32_t>> shared_;
};

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

void expect_blocks_come_back(Engine& engine) {
  for (int i = 0; i < 500 && (engine.stats().blocks_used > 0 || engine.stats().running > 0); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(engine.stats().blocks_used, 0);
  EXPECT_EQ(engine.stats().running, 0);
  EXPECT_EQ(engine.stats().waiting, 0);
}

void run_trace(const TinyModel& model, uint64_t seed, bool expect_preemption) {
  std::unique_ptr<Engine> alone = make_engine(model, roomy());
  std::unique_ptr<Engine> busy = make_engine(model, cramped());
  RandomRequests requests(seed);
  struct Open {
    GenerateRequest request;
    Submitted submitted;
    bool cancelled = false;
  };
  std::deque<Open> open;
  size_t finished = 0;
  const auto settle = [&] {
    const std::vector<Answer> got = open.front().submitted.collector->wait();
    const std::vector<Answer> want = testing::generate(*alone, open.front().request);
    if (open.front().cancelled) {
      expect_prefix(got, want, finished);
    } else {
      expect_equal(got, want, finished);
    }
    open.pop_front();
    ++finished;
  };
  for (int i = 0; i < kRequests && !::testing::Test::HasFatalFailure(); ++i) {
    Open next{requests.next(), {}, false};
    next.submitted = testing::submit(*busy, next.request);
    open.push_back(std::move(next));
    if (requests.below(12) == 0) {
      Open& victim = open[requests.below(open.size())];
      if (requests.below(2) == 0) victim.submitted.collector->wait_first_piece();
      busy->cancel(victim.submitted.id);
      victim.cancelled = true;
    }
    while (open.size() > 24 && !::testing::Test::HasFatalFailure()) settle();
  }
  while (!open.empty() && !::testing::Test::HasFatalFailure()) settle();
  expect_blocks_come_back(*busy);
  const EngineStats stats = busy->stats();
  if (expect_preemption) EXPECT_GT(stats.preempted, 0);
  EXPECT_GT(stats.cached_tokens, 0);
  ::testing::Test::RecordProperty("preempted", static_cast<int>(stats.preempted));
  ::testing::Test::RecordProperty("cached_tokens", static_cast<int>(stats.cached_tokens));
}

TEST(EngineRandom, EveryRequestGivesWhatItGivesAlone) {
  const TinyModel model;
  run_trace(model, 1, true);
}

TEST(EngineRandom, WithASlidingWindow) {
  const TinyModel model({.sliding_window = 40});
  run_trace(model, 2, false);
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
