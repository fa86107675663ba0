#include "engine/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "tests/engine/collector.h"
#include "tests/engine/tiny_model.h"

namespace lmdeploy {
namespace {

using testing::Answer;
using testing::Collector;
using testing::TinyModel;

class EngineTest : public ::testing::Test {
 protected:
  static EngineOptions options() {
    EngineOptions options;
    options.device = "cpu";
    options.dtype = "float32";
    options.cache_block_seq_len = 32;
    options.cpu_threads = 1;
    return options;
  }
  Result<std::unique_ptr<Engine>> create(const EngineOptions& options) {
    return Engine::create(model_.path(), options, "", Logger(LogLevel::kError));
  }
  std::unique_ptr<Engine> engine(const EngineOptions& options = EngineTest::options()) {
    Result<std::unique_ptr<Engine>> made = create(options);
    CHECK(made.ok(), "{}", made.status().message());
    return std::move(*made);
  }
  static GenerateRequest request(size_t prompt_length, int64_t max_new_tokens) {
    GenerateRequest request;
    for (size_t i = 0; i < prompt_length; ++i) request.prompt.push_back(static_cast<int32_t>((i * 37 + 11) % 256));
    request.sampling.seed = 7;
    request.sampling.ignore_eos = true;
    request.sampling.max_new_tokens = max_new_tokens;
    return request;
  }
  Status rejected(Engine& engine, GenerateRequest request) {
    std::atomic<bool> called{false};
    const Result<RequestId> id = engine.submit(std::move(request), [&](GenerateOutput&&) {
      called = true;
      return true;
    });
    EXPECT_FALSE(id.ok());
    EXPECT_FALSE(called);
    return id.status();
  }

  TinyModel model_;
};

TEST_F(EngineTest, PromptThatDoesNotFitIsRefusedWithBothNumbers) {
  auto engine = this->engine();
  const Status status = rejected(*engine, request(640, 1));
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("640"), std::string::npos) << status.message();
  EXPECT_EQ(engine->info().session_len, 640);
}

TEST_F(EngineTest, SilentMaxTokensIsTheRestOfTheWindow) {
  auto engine = this->engine();
  GenerateRequest r = request(600, 0);
  r.sampling.max_new_tokens.reset();
  const std::vector<Answer> answers = testing::generate(*engine, r);
  EXPECT_EQ(answers[0].ids.size(), 40u);
  EXPECT_EQ(answers[0].finish, FinishReason::kLength);
}

TEST_F(EngineTest, BadFieldsAreNamed) {
  auto engine = this->engine();
  const auto expect = [&](auto change, const char* field) {
    GenerateRequest r = request(5, 3);
    change(r);
    const Status status = rejected(*engine, r);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << field;
    EXPECT_NE(status.message().find(field), std::string::npos) << status.message();
  };
  expect([](GenerateRequest& r) { r.sampling.n = 0; }, "n is 0");
  expect([](GenerateRequest& r) { r.sampling.temperature = -1; }, "temperature");
  expect([](GenerateRequest& r) { r.sampling.temperature = NAN; }, "temperature");
  expect([](GenerateRequest& r) { r.sampling.top_p = 0; }, "top_p");
  expect([](GenerateRequest& r) { r.sampling.top_k = -2; }, "top_k");
  expect([](GenerateRequest& r) { r.sampling.repetition_penalty = 0; }, "repetition_penalty");
  expect([](GenerateRequest& r) { r.sampling.logprobs = 21; }, "logprobs");
  expect([](GenerateRequest& r) { r.sampling.logit_bias = {{300, 1.0f}}; }, "300");
  expect([](GenerateRequest& r) { r.prompt.clear(); }, "empty");
  expect([](GenerateRequest& r) { r.prompt[0] = testing::kTinyVocab; }, "259");
}

TEST_F(EngineTest, TheQueueIsBounded) {
  EngineOptions small = options();
  small.max_queued_requests = 2;
  small.max_batch_size = 1;
  auto engine = this->engine(small);
  std::vector<testing::Submitted> accepted;
  Status full;
  for (int i = 0; i < 50 && full.ok(); ++i) {
    auto collector = std::make_shared<testing::Collector>(1);
    const Result<RequestId> id =
        engine->submit(request(10, 500), [collector](GenerateOutput&& o) { return collector->take(std::move(o)); });
    if (id.ok()) {
      accepted.push_back({collector, *id});
    } else {
      full = id.status();
    }
  }
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted);
  for (const testing::Submitted& s : accepted) engine->cancel(s.id);
  for (const testing::Submitted& s : accepted) EXPECT_EQ(s.collector->wait()[0].finish, FinishReason::kAbort);
}

TEST_F(EngineTest, CancelKeepsABeginningAndIsIdempotent) {
  auto engine = this->engine();
  const std::vector<Answer> whole = testing::generate(*engine, request(20, 300));
  testing::Submitted s = testing::submit(*engine, request(20, 300));
  s.collector->wait_first_piece();
  engine->cancel(s.id);
  engine->cancel(s.id);
  const std::vector<Answer> cut = s.collector->wait();
  ASSERT_LE(cut[0].ids.size(), whole[0].ids.size());
  EXPECT_TRUE(std::equal(cut[0].ids.begin(), cut[0].ids.end(), whole[0].ids.begin()));
  engine->cancel(s.id);
  engine->cancel(987654321);
}

TEST_F(EngineTest, AReaderThatIsGoneCancels) {
  auto engine = this->engine();
  std::atomic<int> calls{0};
  ASSERT_TRUE(engine->submit(request(10, 600), [&](GenerateOutput&&) { return ++calls < 2; }).ok());
  for (int i = 0; i < 500 && (engine->stats().aborted == 0 || engine->stats().running > 0); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(engine->stats().aborted, 1);
  EXPECT_EQ(calls, 2);
}

TEST_F(EngineTest, ChoicesDrawWithTheirOwnSeeds) {
  auto engine = this->engine();
  GenerateRequest three = request(33, 20);
  three.sampling.n = 3;
  const std::vector<Answer> together = testing::generate(*engine, three);
  for (int i = 0; i < 3; ++i) {
    GenerateRequest one = request(33, 20);
    one.sampling.seed = 7 + static_cast<uint64_t>(i);
    EXPECT_EQ(testing::generate(*engine, one)[0].ids, together[static_cast<size_t>(i)].ids);
  }
  EXPECT_NE(together[0].ids, together[1].ids);
}

TEST_F(EngineTest, StopStringEndsAndIsCutOff) {
  auto engine = this->engine();
  const Answer whole = testing::generate(*engine, request(20, 60))[0];
  // A stop string from the middle of the text, of three characters.
  size_t at = 0;
  for (size_t i = 15; i + 3 < whole.text.size() && at == 0; ++i) {
    const std::string candidate = whole.text.substr(i, 3);
    if (candidate.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789#$%&'()*+,-./:;<=>?@[]^_`{|}~!\" ") == std::string::npos) at = i;
  }
  if (at == 0) GTEST_SKIP() << "the random text has no three plain characters in a row";
  const std::string stop = whole.text.substr(at, 3);
  const size_t first = whole.text.find(stop);
  GenerateRequest r = request(20, 60);
  r.sampling.stop = {stop};
  const Answer cut = testing::generate(*engine, r)[0];
  EXPECT_EQ(cut.finish, FinishReason::kStop);
  EXPECT_EQ(cut.text, whole.text.substr(0, first));
  EXPECT_LT(cut.ids.size(), whole.ids.size());
  r.sampling.include_stop = true;
  EXPECT_EQ(testing::generate(*engine, r)[0].text, whole.text.substr(0, first) + stop);
}

TEST_F(EngineTest, BadWordsAndMinimumLengthBanTokens) {
  auto engine = this->engine();
  const Answer free = testing::generate(*engine, request(20, 40))[0];
  GenerateRequest r = request(20, 40);
  r.sampling.bad_token_ids = {free.ids[0], free.ids[5]};
  const Answer banned = testing::generate(*engine, r)[0];
  for (int32_t id : banned.ids) {
    EXPECT_NE(id, free.ids[0]);
    EXPECT_NE(id, free.ids[5]);
  }
  // A phrase of two tokens: the second never follows the first.
  r = request(20, 40);
  r.sampling.greedy = true;
  const Answer greedy = testing::generate(*engine, r)[0];
  r.sampling.bad_words = {std::string("ab")};
  const std::vector<int32_t> ids = testing::generate(*engine, r)[0].ids;
  for (size_t i = 1; i < ids.size(); ++i) EXPECT_FALSE(ids[i - 1] == 'a' && ids[i] == 'b');
}

TEST_F(EngineTest, StopTokenEndsWithoutBeingKept) {
  auto engine = this->engine();
  const Answer free = testing::generate(*engine, request(20, 40))[0];
  GenerateRequest r = request(20, 40);
  r.sampling.stop_token_ids = {free.ids[10]};
  const Answer stopped = testing::generate(*engine, r)[0];
  const auto first = std::find(free.ids.begin(), free.ids.end(), free.ids[10]);
  EXPECT_EQ(stopped.finish, FinishReason::kStop);
  EXPECT_EQ(stopped.ids, std::vector<int32_t>(free.ids.begin(), first));
}

TEST_F(EngineTest, PromptScoresAgreeWithTheLogprobsOfTheSameTokens) {
  auto engine = this->engine();
  GenerateRequest r = request(70, 30);
  r.sampling.logprobs = 0;
  const Answer answer = testing::generate(*engine, r)[0];
  GenerateRequest score;
  score.prompt = r.prompt;
  score.prompt.insert(score.prompt.end(), answer.ids.begin(), answer.ids.end());
  score.sampling.max_new_tokens = 0;
  score.sampling.logprobs = 2;
  score.prompt_logprobs = true;
  score.last_logits = true;
  testing::Submitted s = testing::submit(*engine, score);
  EXPECT_EQ(s.collector->wait()[0].finish, FinishReason::kLength);
  const std::vector<TokenOutput>& scores = s.collector->prompt_logprobs;
  ASSERT_EQ(scores.size(), score.prompt.size());
  EXPECT_TRUE(std::isnan(scores[0].logprob));
  for (size_t i = 0; i < answer.tokens.size(); ++i) {
    EXPECT_FLOAT_EQ(scores[70 + i].logprob, answer.tokens[i].logprob);
    ASSERT_EQ(scores[70 + i].top.size(), 2u);
    EXPECT_GE(scores[70 + i].top[0].logprob, scores[70 + i].top[1].logprob);
  }
  ASSERT_EQ(s.collector->last_logits.size(), static_cast<size_t>(testing::kTinyVocab));
  double sum = 0;
  for (float logit : s.collector->last_logits) sum += std::exp(static_cast<double>(logit));
  EXPECT_TRUE(std::isfinite(sum));
}

TEST_F(EngineTest, PrefixCacheServesASecondRequest) {
  EngineOptions caching = options();
  caching.enable_prefix_caching = true;
  auto engine = this->engine(caching);
  const std::vector<Answer> first = testing::generate(*engine, request(100, 5));
  testing::Submitted again = testing::submit(*engine, request(100, 5));
  EXPECT_EQ(again.collector->wait()[0].ids, first[0].ids);
  EXPECT_EQ(again.collector->cached_tokens, 96);
  GenerateRequest stranger = request(100, 5);
  stranger.tenant = 1;
  testing::Submitted other = testing::submit(*engine, stranger);
  EXPECT_EQ(other.collector->wait()[0].ids, first[0].ids);
  EXPECT_EQ(other.collector->cached_tokens, 0);
}

TEST_F(EngineTest, CloseRefusesNewRequestsAndEndsTheOthers) {
  auto engine = this->engine();
  const testing::Submitted running = testing::submit(*engine, request(10, 600));
  running.collector->wait_first_piece();
  engine->close(std::chrono::seconds(60));
  EXPECT_EQ(running.collector->wait()[0].finish, FinishReason::kAbort);
  EXPECT_EQ(rejected(*engine, request(4, 4)).code(), StatusCode::kUnavailable);
  engine->close(std::chrono::seconds(60));
  EXPECT_EQ(engine->stats().blocks_used, 0);
}

TEST_F(EngineTest, ACallOfSeveralRequestsIsTakenWholeOrNotAtAll) {
  EngineOptions options = EngineTest::options();
  options.max_queued_requests = 2;
  options.max_batch_size = 1;
  auto engine = this->engine(options);
  std::vector<std::shared_ptr<testing::Collector>> collectors;
  const auto call = [&](int count, bool last_is_bad) {
    std::vector<Engine::Submission> out;
    for (int i = 0; i < count; ++i) {
      auto collector = std::make_shared<testing::Collector>(1);
      collectors.push_back(collector);
      out.push_back({request(5, 300), [collector](GenerateOutput&& output) {
                       return collector->take(std::move(output));
                     }});
    }
    if (last_is_bad) out.back().request.sampling.top_p = 0;
    out[0].request.session = SessionRef{7, false};
    return out;
  };
  EXPECT_EQ(engine->submit(call(3, true)).status().code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(engine->session_tokens(7).has_value());
  collectors.clear();
  // Four are more than the queue has places, and it is empty.
  const auto taken = engine->submit(call(4, false));
  ASSERT_TRUE(taken.ok()) << taken.status().message();
  EXPECT_EQ(taken->size(), 4u);
  const Status full = rejected(*engine, request(5, 5));
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(full.message().find("--max-queued-requests 2"), std::string::npos) << full.message();
  for (const auto& collector : collectors) EXPECT_EQ(collector->wait()[0].finish, FinishReason::kLength);
  EXPECT_TRUE(engine->submit(call(1, false)).ok());
}

TEST_F(EngineTest, EveryChoiceTakesAPlaceInTheQueue) {
  EngineOptions options = EngineTest::options();
  options.max_queued_requests = 3;
  options.max_batch_size = 1;
  auto engine = this->engine(options);
  GenerateRequest four = request(5, 600);
  four.sampling.n = 4;
  const testing::Submitted running = testing::submit(*engine, four);  // the queue is empty
  const Status full = rejected(*engine, request(5, 5));  // three choices wait, or four
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted);
  running.collector->wait();
  EXPECT_EQ(testing::generate(*engine, request(5, 5))[0].finish, FinishReason::kLength);
}

TEST_F(EngineTest, TextsThatCannotFitAreNotRead) {
  auto engine = this->engine();
  // The longest piece has 7 bytes, and normalizers may shorten text to a quarter.
  const std::string most(size_t{641} * 28 - 1, 'a');
  EXPECT_EQ(engine->encode_prompt(most, true)->size(), most.size());
  const Status refused = engine->encode_prompt(most + "a", true).status();
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find("at least 641 tokens"), std::string::npos) << refused.message();
  EXPECT_NE(refused.message().find("holds 640"), std::string::npos);
  ChatRender chat;
  chat.messages.push_back(json::object{{"role", "user"}, {"content", most}});
  EXPECT_EQ(engine->encode_chat(chat).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(EngineTest, DestructionEndsWhatRuns) {
  auto engine = this->engine();
  testing::Submitted s = testing::submit(*engine, request(10, 600));
  engine.reset();
  const FinishReason finish = s.collector->wait()[0].finish;
  EXPECT_TRUE(finish == FinishReason::kAbort || finish == FinishReason::kLength);
}

TEST_F(EngineTest, TwoEnginesLiveSideBySide) {
  auto a = engine();
  auto b = engine();
  testing::Submitted from_a = testing::submit(*a, request(50, 50));
  testing::Submitted from_b = testing::submit(*b, request(50, 50));
  EXPECT_EQ(from_a.collector->wait()[0].ids, from_b.collector->wait()[0].ids);
}

// Several requests at once, drawn and greedy, with scores of their prompts.
TEST_F(EngineTest, RanksGiveTheAnswersOfOne) {
  const auto answers = [&](int tp) {
    EngineOptions o = options();
    o.tp = tp;
    const std::unique_ptr<Engine> engine = this->engine(o);
    std::vector<std::shared_ptr<Collector>> collectors;
    for (size_t i = 0; i < 4; ++i) {
      GenerateRequest request = this->request(5 + 40 * i, 20);
      request.sampling.greedy = i % 2 == 0;
      request.prompt_logprobs = true;
      auto collector = std::make_shared<Collector>(1);
      CHECK(engine->submit(std::move(request), [collector](GenerateOutput&& o) {
        return collector->take(std::move(o));
      }).ok(), "submit");
      collectors.push_back(std::move(collector));
    }
    for (const auto& collector : collectors) collector->wait();
    return collectors;
  };
  const auto alone = answers(1), ranks = answers(2);
  for (size_t i = 0; i < alone.size(); ++i) {
    EXPECT_EQ(ranks[i]->wait()[0].ids, alone[i]->wait()[0].ids);
    const std::vector<TokenOutput>&got = ranks[i]->prompt_logprobs, &want = alone[i]->prompt_logprobs;
    ASSERT_EQ(got.size(), want.size());
    for (size_t t = 1; t < want.size(); ++t) EXPECT_NEAR(got[t].logprob, want[t].logprob, 1e-4);
  }
}

TEST_F(EngineTest, ImpossibleOptionsAreRefusedByName) {
  const auto expect = [&](auto change, const char* name) {
    EngineOptions o = options();
    change(o);
    const Result<std::unique_ptr<Engine>> made = create(o);
    ASSERT_FALSE(made.ok()) << name;
    EXPECT_NE(made.status().message().find(name), std::string::npos) << made.status().message();
  };
  expect([](EngineOptions& o) { o.tp = 0; }, "--tp");
  expect([](EngineOptions& o) { o.tp = 3; }, "3 ranks");
  expect([](EngineOptions& o) { o.cache_block_seq_len = 48; }, "--cache-block-seq-len");
  expect([](EngineOptions& o) { o.quant_policy = "8"; }, "--quant-policy");
  expect([](EngineOptions& o) { o.cache_max_entry_count = 0; }, "--cache-max-entry-count");
  expect([](EngineOptions& o) { o.device = "tpu"; }, "--device");
}

}  // namespace
}  // namespace lmdeploy
