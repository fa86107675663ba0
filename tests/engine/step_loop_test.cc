// The step loop with a runner that has no model: what it draws depends on the prompt's first token
// and the position alone, and results come as late as a GPU's.
#include "engine/step_loop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <random>

#include "engine/model_text.h"
#include "tests/engine/collector.h"
#include "tests/engine/tiny_model.h"

namespace lmdeploy {
namespace {

using testing::Answer;
using testing::Collector;
using testing::TinyModel;

constexpr int kSlots = 6, kBlockTokens = 32, kBlocks = 24;

constexpr int32_t kBreaks = 201;       // a prompt that starts with it has no finite logit ...
constexpr int64_t kBreakPosition = 9;  // ... at this position

int32_t drawn(int32_t first_token, int64_t position) {
  if (first_token == kBreaks && position >= kBreakPosition) return -1;
  return static_cast<int32_t>((first_token * 37 + position * 11) % 251);
}

// Runs a plan when it is launched, hands its results over when they are collected, and CHECKs that
// a decode row finds its own sequence's token on its slot.
class LateRunner final : public ModelRunner {
 public:
  LateRunner(int depth, int failing_step) : depth_(depth), failing_step_(failing_step) {}

  const ModelInfo& model_info() const override { return info_; }
  size_t workspace_bytes() const override { return 0; }
  void use_cache(std::unique_ptr<KvCache>) override {}
  void add_sequence(SequenceId id, const Sequence& sequence) override {
    first_tokens_[id] = sequence.request->prompt[0];
  }
  void remove_sequence(SequenceId id) override { first_tokens_.erase(id); }
  PromptScores take_prompt_scores(SequenceId) override { return {}; }
  int depth() const override { return depth_; }

  void launch(const StepPlan& plan) override {
    StepOutput output{plan.step, std::vector<SampledToken>(plan.rows.size())};
    for (size_t r = 0; r < plan.rows.size(); ++r) {
      const PlanRow& row = plan.rows[r];
      const int32_t first = first_tokens_.at(row.sequence);
      if (row.token_offset == kTokenOnSlot) {
        CHECK(slots_[row.slot] == drawn(first, row.kv_length - 1), "slot {} has another's token",
              row.slot);
      }
      if (!row.samples()) continue;
      output.sampled[r].token = slots_[row.slot] = drawn(first, row.kv_length);
    }
    waiting_.push_back(std::move(output));
    CHECK(static_cast<int>(waiting_.size()) <= depth_, "{} steps are on their way",
          waiting_.size());
  }

  Result<const StepOutput*> collect() override {
    collected_ = std::move(waiting_.front());
    waiting_.pop_front();
    if (collected_.step == failing_step_) return internal_error("step {}: broken", failing_step_);
    return &collected_;
  }

 private:
  const int depth_, failing_step_;
  ModelInfo info_;
  std::map<SequenceId, int32_t> first_tokens_;
  std::array<int32_t, kSlots> slots_{};
  std::deque<StepOutput> waiting_;
  StepOutput collected_;
};

class LoopUnderTest {
 public:
  explicit LoopUnderTest(int depth, int failing_step = -1) : tokenizer_(make_tokenizer()) {
    SchedulerOptions options;
    options.layout.groups = {{KvGroupKind::kFull, 0}};
    options.layout.block_tokens = kBlockTokens;
    options.num_blocks = kBlocks;
    options.max_batch_size = kSlots;
    options.budget.max_step_tokens = 64;
    loop_ = std::make_unique<StepLoop>(std::make_unique<Scheduler>(options),
                                       std::make_unique<LateRunner>(depth, failing_step),
                                       std::vector<int32_t>{kTinyEnd}, Logger(LogLevel::kCritical),
                                       [this] { failed_.set_value(); });
  }
  ~LoopUnderTest() {
    loop_->close();
    while (!loop_->wait_idle(std::chrono::seconds(1))) {
    }
    pool_.finish();
    loop_.reset();
  }

  std::pair<RequestId, std::shared_ptr<Collector>> add(GenerateRequest request) {
    auto collector = std::make_shared<Collector>(request.sampling.n);
    const RequestId id = next_++;
    AddCommand command;
    command.max_new_tokens = *request.sampling.max_new_tokens;
    command.salt = id;
    command.private_salt = true;
    command.stream = std::make_shared<RequestStream>(
        id, std::move(request),
        [collector](GenerateOutput&& output) { return collector->take(std::move(output)); },
        *tokenizer_, pool_,
        RequestStream::Callbacks{
            [this](RequestId r, int choice, int64_t kept) { loop_->stop_choice(r, choice, kept); },
            [this](RequestId r) { loop_->cancel(r); }, [](RequestStream&, const RequestTiming&) {},
            [this](RequestId r) { loop_->ended(r); }});
    EXPECT_TRUE(loop_->reserve(command.stream->request().sampling.n, 1 << 20));
    loop_->add(std::move(command));
    return {id, collector};
  }
  StepLoop& loop() { return *loop_; }
  bool wait_failure() {
    return failed_.get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready;
  }

 private:
  static constexpr int32_t kTinyEnd = 250;
  static std::unique_ptr<Tokenizer> make_tokenizer() {
    const TinyModel model;
    Result<std::unique_ptr<Tokenizer>> tokenizer = load_tokenizer(model.path());
    CHECK(tokenizer.ok(), "{}", tokenizer.status().message());
    return std::move(*tokenizer);
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  TextPool pool_{TextPool::kLeastThreads};
  std::promise<void> failed_;
  std::unique_ptr<StepLoop> loop_;
  RequestId next_ = 1;
};

GenerateRequest request_of(std::mt19937_64& random) {
  GenerateRequest request;
  request.prompt.assign(1 + random() % 150, 5);
  request.prompt[0] = static_cast<int32_t>(random() % 200);
  request.sampling.max_new_tokens = 1 + random() % 60;
  request.sampling.skip_special_tokens = false;
  if (random() % 2 == 0) request.sampling.stop_token_ids = {static_cast<int32_t>(random() % 251)};
  return request;
}

// The tokens that the request should give.
std::vector<int32_t> expected_ids(const GenerateRequest& request) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < *request.sampling.max_new_tokens; ++i) {
    const int32_t token = drawn(request.prompt[0], static_cast<int64_t>(request.prompt.size()) + i);
    const auto& stops = request.sampling.stop_token_ids;
    if (token == 250 || std::find(stops.begin(), stops.end(), token) != stops.end()) break;
    ids.push_back(token);
  }
  return ids;
}

class StepLoopDepth : public ::testing::TestWithParam<int> {};

TEST_P(StepLoopDepth, EveryRequestGetsItsTokensAndNoneOfAnOverrun) {
  LoopUnderTest test(GetParam());
  std::mt19937_64 random(11);
  struct Open {
    GenerateRequest request;
    std::shared_ptr<Collector> collector;
    bool cancelled;
  };
  std::vector<Open> open;
  for (int i = 0; i < 300; ++i) {
    const GenerateRequest request = request_of(random);
    const auto [id, collector] = test.add(request);
    const bool cancel = random() % 8 == 0;
    if (cancel) {
      if (random() % 2 == 0) collector->wait_first_piece();
      test.loop().cancel(id);
    }
    open.push_back({request, collector, cancel});
  }
  for (const Open& one : open) {
    const Answer answer = one.collector->wait()[0];
    const std::vector<int32_t> want = expected_ids(one.request);
    ASSERT_LE(answer.ids.size(), want.size());
    ASSERT_TRUE(std::equal(answer.ids.begin(), answer.ids.end(), want.begin()));
    if (one.cancelled) continue;
    ASSERT_EQ(answer.ids, want);
  }
  ASSERT_TRUE(test.loop().wait_idle(std::chrono::seconds(20)));
  EXPECT_GT(test.loop().stats().preempted, 0);
}

TEST_P(StepLoopDepth, AFailedDeviceEndsEveryRequest) {
  LoopUnderTest test(GetParam(), 5);
  std::mt19937_64 random(12);
  std::vector<std::shared_ptr<Collector>> collectors;
  for (int i = 0; i < 8; ++i) {
    GenerateRequest request = request_of(random);
    request.sampling.stop_token_ids.clear();
    request.sampling.max_new_tokens = 60;
    collectors.push_back(test.add(std::move(request)).second);
  }
  ASSERT_TRUE(test.wait_failure());
  collectors.push_back(test.add(request_of(random)).second);  // one that comes too late
  int failed = 0;
  for (const auto& collector : collectors) {
    const Answer answer = collector->wait()[0];
    if (answer.finish != FinishReason::kError) continue;
    ++failed;
    EXPECT_EQ(answer.error, "step 5: broken");
  }
  EXPECT_GE(failed, 8);  // one may have drawn the end before
}

TEST_P(StepLoopDepth, ARowWithoutAFiniteLogitFailsAloneAndNoneOfItsOverrunShows) {
  LoopUnderTest test(GetParam());
  GenerateRequest good;
  good.prompt = {3, 4, 5, 6};
  good.sampling.max_new_tokens = 40;
  GenerateRequest bad = good;
  bad.prompt[0] = kBreaks;
  const auto first = test.add(good).second, broken = test.add(bad).second;
  const Answer answer = broken->wait()[0];
  EXPECT_EQ(answer.finish, FinishReason::kError);
  EXPECT_NE(answer.error.find("no finite logit"), std::string::npos) << answer.error;
  ASSERT_EQ(answer.ids.size(), 5u);  // positions 4 to 8
  for (int i = 0; i < 5; ++i) EXPECT_EQ(answer.ids[i], drawn(kBreaks, 4 + i));
  EXPECT_EQ(first->wait()[0].ids, expected_ids(good));
  EXPECT_EQ(test.add(good).second->wait()[0].ids, expected_ids(good));  // the slot is usable again
}

TEST_P(StepLoopDepth, EveryChoiceGivesItsPlaceInTheQueueBackOnce) {
  LoopUnderTest test(GetParam());
  GenerateRequest request;
  request.prompt = {3, 4, 5, 6};
  request.sampling.max_new_tokens = 60;
  request.sampling.n = 100;
  const auto [id, collector] = test.add(request);
  collector->wait_first_piece();
  test.loop().cancel(id);  // most have not begun
  collector->wait();
  ASSERT_TRUE(test.loop().wait_idle(std::chrono::seconds(20)));
  EXPECT_EQ(test.loop().queued(), 0);
}

TEST_P(StepLoopDepth, StepsAreCountedByWhatTheyHold) {
  LoopUnderTest test(GetParam());
  GenerateRequest request;
  request.prompt.assign(150, 5);  // 64 + 64 + 22
  request.sampling.max_new_tokens = 40;
  request.sampling.ignore_eos = true;
  test.add(request).second->wait();
  ASSERT_TRUE(test.loop().wait_idle(std::chrono::seconds(20)));
  const EngineStats stats = test.loop().stats();
  EXPECT_EQ(stats.prompt_steps.steps, 3);
  EXPECT_EQ(stats.prompt_steps.sequences, 3);
  EXPECT_EQ(stats.prompt_steps.tokens, 150);
  EXPECT_EQ(stats.decode_steps.steps, 39);
  EXPECT_EQ(stats.decode_steps.tokens, 39);
  EXPECT_EQ(stats.steps, 42);
  EXPECT_GT(stats.prompt_steps.seconds, 0);
  EXPECT_GE(stats.device_wait_seconds, 0);
}

INSTANTIATE_TEST_SUITE_P(All, StepLoopDepth, ::testing::Values(1, 2));

}  // namespace
}  // namespace lmdeploy
