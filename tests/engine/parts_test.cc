// The engine's parts by themselves: text of a choice, sampling state, sessions, text threads, batches.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>

#include "engine/batch_builder.h"
#include "engine/choice_text.h"
#include "engine/model_text.h"
#include "engine/sampling_state.h"
#include "engine/session_table.h"
#include "engine/text_pool.h"
#include "tests/engine/tiny_model.h"

namespace lmdeploy {
namespace {

class ChoiceTextTest : public ::testing::Test {
 protected:
  struct Outcome {
    std::string text;
    std::vector<int32_t> ids;
    bool stopped = false;
    int64_t kept = 0;
  };
  // Feeds the bytes of `text`, one token each, then finishes.
  Outcome feed(std::string_view text, SamplingParams sampling) {
    ChoiceText choice(*tokenizer_, sampling);
    Outcome outcome;
    const auto take = [&] {
      ChoiceText::Piece piece = choice.take();
      outcome.text += piece.text;
      for (const TokenOutput& token : piece.tokens) outcome.ids.push_back(token.id);
    };
    for (unsigned char byte : text) {
      outcome.stopped = choice.push({byte, 0, {}});
      take();
      if (outcome.stopped) break;
    }
    choice.finish();
    take();
    outcome.kept = choice.kept_tokens();
    return outcome;
  }

  testing::TinyModel model_;
  std::unique_ptr<Tokenizer> tokenizer_ = std::move(*Tokenizer::from_file(model_.path()));
};

TEST_F(ChoiceTextTest, KeepsEverythingWithoutAStop) {
  const Outcome outcome = feed("hello", {});
  EXPECT_EQ(outcome.text, "hello");
  EXPECT_EQ(outcome.kept, 5);
  EXPECT_FALSE(outcome.stopped);
}

TEST_F(ChoiceTextTest, TokensThatOnlySpellTheStopAreNotKept) {
  SamplingParams sampling;
  sampling.stop = {"lo w"};
  Outcome outcome = feed("hello world", sampling);
  EXPECT_TRUE(outcome.stopped);
  EXPECT_EQ(outcome.text, "hel");
  EXPECT_EQ(outcome.kept, 3);
  EXPECT_EQ(outcome.ids, (std::vector<int32_t>{'h', 'e', 'l'}));
  sampling.include_stop = true;
  outcome = feed("hello world", sampling);
  EXPECT_EQ(outcome.text, "hello w");
  EXPECT_EQ(outcome.kept, 7);
}

TEST_F(ChoiceTextTest, TextThatMerelyBeganAStopIsFlushedAtTheEnd) {
  SamplingParams sampling;
  sampling.stop = {"world!"};
  const Outcome outcome = feed("hello world", sampling);
  EXPECT_FALSE(outcome.stopped);
  EXPECT_EQ(outcome.text, "hello world");
  EXPECT_EQ(outcome.kept, 11);
}

TEST_F(ChoiceTextTest, ACharacterOfSeveralTokensComesWhole) {
  ChoiceText choice(*tokenizer_, {});
  choice.push({0xE2, 0, {}});
  EXPECT_EQ(choice.take().text, "");
  choice.push({0x82, 0, {}});
  EXPECT_EQ(choice.take().text, "");
  choice.push({0xAC, 0, {}});
  const ChoiceText::Piece piece = choice.take();
  EXPECT_EQ(piece.text, "\xE2\x82\xAC");
  EXPECT_EQ(piece.tokens.size(), 3u);
}

SamplingState state_of(const SamplingParams& sampling, const std::vector<int32_t>& prompt,
                       const std::vector<std::vector<int32_t>>& bad_words, int choice = 0) {
  static const std::vector<int32_t> kEndIds = {100};
  return SamplingState(std::make_shared<RequestSampling>(
                           sampling, RequestSampling::Context{prompt, kEndIds, bad_words, 40}),
                       choice);
}

TEST(SamplingState, CountsPromptAndGeneratedTokensApart) {
  SamplingParams sampling;
  sampling.repetition_penalty = 1.2;
  SamplingState state = state_of(sampling, {1, 2, 1}, {}, 3);
  state.accept(2);
  state.accept(5);
  const SamplingRow row = state.row(5);
  EXPECT_EQ(row.seed, 43u);
  EXPECT_EQ(row.position, 5);
  ASSERT_EQ(row.seen.size(), 3u);
  EXPECT_EQ(row.seen[0].token, 1);
  EXPECT_EQ(row.seen[0].in_prompt, 2);
  EXPECT_EQ(row.seen[1].in_prompt, 1);
  EXPECT_EQ(row.seen[1].generated, 1);
  EXPECT_EQ(row.seen[2].generated, 1);
}

TEST(SamplingState, ChoicesShareTheCountsOfThePromptUntilOneDraws) {
  SamplingParams sampling;
  sampling.frequency_penalty = 0.5;
  const std::vector<int32_t> prompt = {9, 4, 9};
  const auto request = std::make_shared<const RequestSampling>(
      sampling, RequestSampling::Context{prompt, {}, {}, 40});
  SamplingState one(request, 0), other(request, 1);
  EXPECT_EQ(one.row(3).seen.data(), request->prompt_counts.data());
  EXPECT_EQ(other.row(3).seen.data(), request->prompt_counts.data());
  one.accept(9);
  one.accept(7);
  const SamplingRow row = one.row(5);
  ASSERT_EQ(row.seen.size(), 3u);
  EXPECT_EQ(row.seen[1].in_prompt, 2);
  EXPECT_EQ(row.seen[1].generated, 1);
  EXPECT_EQ(row.seen[2].token, 7);
  const SamplingRow untouched = other.row(3);
  EXPECT_EQ(untouched.seed, 41u);
  EXPECT_EQ(untouched.seen.size(), 2u);
  EXPECT_EQ(untouched.seen[1].generated, 0);
}

TEST(SamplingState, BansTheEndBeforeTheMinimumAndTheEndOfAPhraseAfterItsBeginning) {
  SamplingParams sampling;
  sampling.min_new_tokens = 2;
  sampling.stop_token_ids = {7};
  SamplingState state = state_of(sampling, {1, 2, 3}, {{50}, {3, 4, 60}});
  const auto banned = [&](int32_t token) {
    const SamplingRow row = state.row(3 + state.generated());
    return std::find(row.banned.begin(), row.banned.end(), token) != row.banned.end();
  };
  EXPECT_TRUE(banned(50));
  EXPECT_TRUE(banned(100));
  EXPECT_TRUE(banned(7));
  EXPECT_FALSE(banned(60));
  state.accept(4);  // the phrase began in the prompt
  EXPECT_TRUE(banned(60));
  state.accept(9);
  EXPECT_FALSE(banned(60));
  EXPECT_FALSE(banned(100));
  EXPECT_FALSE(banned(7));
  for (int32_t i = 0; i < 100; ++i) state.accept(i % 3 == 0 ? 3 : 4);
  EXPECT_FALSE(banned(60));
  state.accept(4);  // the last of the hundred was a 3
  EXPECT_TRUE(banned(60));
  state.accept(4);
  EXPECT_FALSE(banned(60));
}

TEST(SamplingState, BansDependOnATokenThatOnlyTheDeviceKnows) {
  SamplingParams sampling;
  sampling.min_new_tokens = 2;
  SamplingState state = state_of(sampling, {1, 3}, {{3, 4, 60}, {9, 61}});
  SamplingRow row = state.row(3);  // the token at 2 is drawn and not known
  EXPECT_TRUE(std::find(row.banned.begin(), row.banned.end(), 100) != row.banned.end());
  ASSERT_EQ(state.conditional_bans().size(), 2u);
  EXPECT_EQ(state.conditional_bans()[0].token, 60);
  EXPECT_EQ(state.conditional_bans()[0].after, 4);
  EXPECT_EQ(state.conditional_bans()[1].token, 61);
  EXPECT_EQ(state.conditional_bans()[1].after, 9);
  state.accept(4);
  row = state.row(4);
  EXPECT_TRUE(row.banned.empty());  // two tokens are there
  ASSERT_EQ(state.conditional_bans().size(), 1u);
  EXPECT_EQ(state.conditional_bans()[0].token, 61);
  row = state.row(3);
  EXPECT_TRUE(std::find(row.banned.begin(), row.banned.end(), 60) != row.banned.end());
  EXPECT_TRUE(state.conditional_bans().empty());
}

TEST(SessionTable, OneRequestAtATimeAndEndWhileBusy) {
  SessionTable table;
  EXPECT_TRUE(table.begin(1)->empty());
  EXPECT_EQ(table.begin(1).status().code(), StatusCode::kResourceExhausted);
  const std::vector<int32_t> history = {1, 2, 3};
  table.finish(1, history, false);
  EXPECT_EQ(*table.begin(1), history);
  EXPECT_TRUE(table.end(1).ok());
  table.finish(1, history, false);
  EXPECT_FALSE(table.tokens(1).has_value());
  EXPECT_EQ(table.end(1).code(), StatusCode::kNotFound);
  EXPECT_TRUE(table.begin(2)->empty());
  table.abandon(2);
  EXPECT_FALSE(table.tokens(2).has_value());
}

TEST(SessionTable, TheOneIdleLongestIsForgotten) {
  SessionTable table({.sessions = 3, .tokens = 10});
  const std::vector<int32_t> four(4, 7);
  const auto turn = [&](int64_t session) {
    ASSERT_TRUE(table.begin(session).ok());
    table.finish(session, four, false);
  };
  turn(1);
  turn(2);
  turn(1);
  turn(3);  // 12 tokens: 2 goes
  EXPECT_FALSE(table.tokens(2).has_value());
  EXPECT_EQ(table.tokens(1), 4);
  EXPECT_TRUE(table.begin(1).ok());  // never forgotten while it answers
  EXPECT_TRUE(table.begin(4)->empty());
  EXPECT_TRUE(table.begin(5)->empty());  // the fourth session: 3 goes
  EXPECT_FALSE(table.tokens(3).has_value());
  EXPECT_EQ(table.begin(6).status().code(), StatusCode::kResourceExhausted);
  table.abandon(5);
  EXPECT_TRUE(table.begin(6).ok());
  table.finish(6, std::vector<int32_t>(11, 7), false);  // too long by itself
  EXPECT_FALSE(table.tokens(6).has_value());
  table.finish(1, four, true);
  table.finish(4, four, false);
  EXPECT_EQ(table.tokens(4), 4);
}

TEST(TextPool, LongPromptsHoldUpNeitherAnswersNorTheNextPrompt) {
  TextPool pool(TextPool::kLeastThreads);
  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  std::promise<void> second_prompt, piece;
  std::atomic<int> prompts{0};
  pool.post_prompt([&] { released.wait(); });
  pool.post_prompt([&] {
    second_prompt.set_value();
    released.wait();
  });
  EXPECT_EQ(second_prompt.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  for (int i = 0; i < 10; ++i) pool.post_prompt([&] { ++prompts; });
  pool.post_piece([&] { piece.set_value(); });
  EXPECT_EQ(piece.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_EQ(prompts, 0);
  release.set_value();
  pool.finish();
  EXPECT_EQ(prompts, 10);
}

TEST(ModelText, CapabilitiesBecomeTemplates) {
  EXPECT_EQ(template_with_capability("x.jinja", "chat"), "x.jinja");
  const auto prompt = [](const std::string& spec) {
    ChatRender chat;
    chat.messages.push_back(json::object{{"role", "user"}, {"content", "a<FILL>b"}});
    return *ChatTemplate::load(spec, {})->render(chat);
  };
  EXPECT_EQ(prompt(template_with_capability("", "completion")), "a<FILL>b");
  EXPECT_EQ(prompt(template_with_capability("llama2", "python")), "a<FILL>b");
  EXPECT_EQ(prompt(template_with_capability("x.jinja", "infilling")), "<PRE> a <SUF>b <MID>");
}

TEST(BatchBuilder, LaysOutRowsTablesAndLogitRows) {
  KvCache kv({{KvGroup::Kind::kFull, 0, {0}, 1, 8}}, 32, 8, DType::kF32, {});
  Arena arena({});
  StepPlan plan;
  plan.num_groups = 1;
  plan.num_decode_rows = 1;
  plan.total_tokens = 4;
  plan.rows = {{.sequence = 1, .slot = 0, .first_position = 40, .num_tokens = 1, .kv_length = 41,
                .token_offset = kTokenOnSlot, .flags = kRowSample},
               {.sequence = 2, .slot = 1, .first_position = 30, .num_tokens = 3, .kv_length = 33,
                .token_offset = 0, .flags = kRowPrefill | kRowAllLogits}};
  plan.tokens = {10, 11, 12};
  plan.row_blocks = {{0, 1, 1}, {1, 2, 0}};
  plan.block_ids = {5, 6, 7};
  const std::vector<RowFacts> facts = {{99, 38}, {0, 33}};
  std::vector<LogitRange> ranges(2);
  Batch batch;
  build_batch(plan, facts, kv, arena, batch, ranges);
  const auto ints = [](const TensorView& view) {
    return std::vector<int32_t>(view.data<int32_t>(), view.data<int32_t>() + view.shape().numel());
  };
  EXPECT_EQ(ints(batch.token_ids), (std::vector<int32_t>{99, 10, 11, 12}));
  EXPECT_EQ(ints(batch.positions), (std::vector<int32_t>{40, 30, 31, 32}));
  EXPECT_EQ(ints(batch.query_start), (std::vector<int32_t>{0, 1, 4}));
  EXPECT_EQ(ints(batch.kv_len), (std::vector<int32_t>{41, 33}));
  EXPECT_EQ(ints(batch.rope_len), (std::vector<int32_t>{38, 33}));
  EXPECT_EQ(ints(batch.groups[0].block_table), (std::vector<int32_t>{-1, 5, 6, 7}));
  const int64_t* slots = batch.groups[0].slot_map.data<int64_t>();
  EXPECT_EQ(std::vector<int64_t>(slots, slots + 4), (std::vector<int64_t>{5 * 32 + 8, 6 * 32 + 30, 6 * 32 + 31, 7 * 32}));
  EXPECT_EQ(ints(batch.logit_rows), (std::vector<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(ranges[1].first, 1);
  EXPECT_EQ(ranges[1].count, 3);
}

}  // namespace
}  // namespace lmdeploy
