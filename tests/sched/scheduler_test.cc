// Behaviours of the scheduler that a random trace would pass over in silence.
#include "sched/scheduler.h"

#include <gtest/gtest.h>

#include <numeric>

namespace lmdeploy {
namespace {

constexpr KvGroupSpec kFull{KvGroupKind::kFull, 0};

SchedulerOptions small() {
  SchedulerOptions options;
  options.layout = {{kFull}, 4};
  options.num_blocks = 32;
  options.max_batch_size = 4;
  options.budget.max_step_tokens = 16;
  options.admission_reserve = 0;
  return options;
}

std::vector<int32_t> count_up(int n, int first = 0) {
  std::vector<int32_t> tokens(n);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

NewSequence request(SequenceId id, std::vector<int32_t> prompt, int max_new) {
  NewSequence sequence;
  sequence.ids = {id};
  sequence.prompt = std::make_shared<const std::vector<int32_t>>(std::move(prompt));
  sequence.max_new_tokens = max_new;
  return sequence;
}

// A scheduler whose every sampling row gives the token 500.
class Runner {
 public:
  explicit Runner(SchedulerOptions options) : scheduler(std::move(options)) {}

  const StepPlan& plan() {
    scheduler.plan(plans_.emplace_back());
    if (!plans_.back().empty()) return plans_.back();
    empty_.clear();
    plans_.pop_back();
    return empty_;
  }
  // Completes and retires the oldest planned step.
  void finish(std::vector<SequenceId> ending = {}, int kept = 0) {
    scheduler.retire(plans_.front().step);
    complete(std::move(ending), kept);
  }
  void retire_all() {
    for (const StepPlan& plan : plans_) scheduler.retire(plan.step);
  }
  // Completes the oldest planned step.
  void complete(std::vector<SequenceId> ending = {}, int kept = 0) {
    const StepPlan& plan = plans_.front();
    const int32_t token = 500;
    std::vector<RowResult> results;
    for (const PlanRow& row : plan.rows) {
      RowResult result;
      if (row.samples()) result.tokens = {&token, 1};
      result.finished = std::count(ending.begin(), ending.end(), row.sequence) > 0;
      result.kept_tokens = kept;
      results.push_back(result);
    }
    scheduler.complete(plan.step, results);
    plans_.erase(plans_.begin());
  }
  void run_to_end() {
    for (int i = 0; i < 1000 && !scheduler.idle(); ++i) {
      ASSERT_FALSE(plan().empty());
      finish();
    }
    ASSERT_TRUE(scheduler.idle());
  }
  const PlanRow* row_of(const StepPlan& plan, SequenceId id) const {
    for (const PlanRow& row : plan.rows) {
      if (row.sequence == id) return &row;
    }
    return nullptr;
  }

  Scheduler scheduler;

 private:
  std::vector<StepPlan> plans_;
  StepPlan empty_;
};

TEST(Scheduler, RefusesWhatCanNeverRunWithBothNumbers) {
  Scheduler scheduler(small());
  const Status status = scheduler.add(request(1, count_up(100), 30));
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("need 33 KV cache blocks"), std::string::npos);
  EXPECT_NE(status.message().find("has 32"), std::string::npos);
  EXPECT_TRUE(scheduler.add(request(2, count_up(100), 29)).ok());
  EXPECT_FALSE(scheduler.add(request(3, {}, 1)).ok());
  NewSequence adapter = request(4, count_up(3), 1);
  adapter.adapter = 9;
  EXPECT_FALSE(scheduler.add(adapter).ok());
  EXPECT_FALSE(scheduler.has(1));
}

TEST(Scheduler, DecodesGoFirstAndPromptsFillTheBudget) {
  Runner runner(small());
  ASSERT_TRUE(runner.scheduler.add(request(1, count_up(10), 5)).ok());
  EXPECT_EQ(runner.plan().total_tokens, 10);
  ASSERT_TRUE(runner.scheduler.add(request(2, count_up(40, 100), 5)).ok());
  const StepPlan& second = runner.plan();  // step 1 is still in flight
  ASSERT_EQ(second.rows.size(), 2u);
  EXPECT_EQ(second.num_decode_rows, 1);
  EXPECT_EQ(second.rows[0].sequence, 1u);
  EXPECT_EQ(second.rows[0].token_offset, kTokenOnSlot);
  EXPECT_EQ(second.rows[0].first_position, 10);
  EXPECT_EQ(second.rows[1].num_tokens, 15);
  EXPECT_FALSE(second.rows[1].samples());
  EXPECT_TRUE(second.rows[1].flags & kRowStartsSlot);
  EXPECT_EQ(second.tokens, count_up(15, 100));
  runner.finish();
  runner.finish();
  runner.run_to_end();
}

TEST(Scheduler, APromptAloneIsComputedWithoutSampling) {
  Runner runner(small());
  NewSequence ppl = request(1, count_up(20), 0);
  ppl.prompt_logits = true;
  ASSERT_TRUE(runner.scheduler.add(ppl).ok());
  for (int chunk : {16, 4}) {
    const StepPlan& plan = runner.plan();
    ASSERT_EQ(plan.rows.size(), 1u);
    EXPECT_EQ(plan.rows[0].num_tokens, chunk);
    EXPECT_TRUE(plan.rows[0].flags & kRowAllLogits);
    EXPECT_FALSE(plan.rows[0].samples());
    runner.finish();
  }
  EXPECT_TRUE(runner.scheduler.idle());
}

TEST(Scheduler, AWholePromptHitStillComputesAToken) {
  Runner runner(small());
  ASSERT_TRUE(runner.scheduler.add(request(1, count_up(8), 1)).ok());
  runner.run_to_end();
  ASSERT_TRUE(runner.scheduler.add(request(2, count_up(8), 1)).ok());
  EXPECT_EQ(runner.plan().rows[0].first_position, 4);
  runner.finish();
  ASSERT_TRUE(runner.scheduler.add(request(3, count_up(9), 1)).ok());
  EXPECT_EQ(runner.plan().rows[0].first_position, 8);
  runner.finish();
  EXPECT_EQ(runner.scheduler.stats().prefix_hit_tokens, 12);
}

TEST(Scheduler, ASessionFindsItsGeneratedHistoryAndOthersDoNot) {
  Runner runner(small());
  NewSequence first = request(1, count_up(6), 7);
  first.salt = 77;
  ASSERT_TRUE(runner.scheduler.add(first).ok());
  runner.run_to_end();
  auto history = count_up(6);
  history.insert(history.end(), 7, 500);  // 13 tokens, of which 12 have KV
  history.push_back(9);
  NewSequence stranger = request(2, history, 1);
  ASSERT_TRUE(runner.scheduler.add(stranger).ok());
  EXPECT_EQ(runner.plan().rows[0].first_position, 0);
  runner.finish();
  NewSequence next = request(3, history, 1);
  next.salt = 77;
  ASSERT_TRUE(runner.scheduler.add(next).ok());
  EXPECT_EQ(runner.plan().rows[0].first_position, 12);
  runner.finish();
}

TEST(Scheduler, TokensThatAreNotKeptNeverReachTheCache) {
  Runner runner(small());
  ASSERT_TRUE(runner.scheduler.add(request(1, count_up(3), 12)).ok());
  for (int i = 0; i < 9; ++i) {
    runner.plan();
    runner.finish();
  }
  ASSERT_TRUE(runner.scheduler.cancel(1, 4));  // 9 generated, the stop string began at 4
  auto history = count_up(3);
  history.insert(history.end(), 9, 500);
  ASSERT_TRUE(runner.scheduler.add(request(2, history, 1)).ok());
  EXPECT_EQ(runner.plan().rows[0].first_position, 4);  // 7 tokens kept: one full block
  runner.finish();
}

TEST(Scheduler, TheResultOfTheFinishingStepCanBeTrimmedToo) {
  Runner runner(small());
  ASSERT_TRUE(runner.scheduler.add(request(1, count_up(3), 12)).ok());
  for (int i = 0; i < 8; ++i) {
    runner.plan();
    runner.finish();
  }
  runner.plan();
  runner.plan();  // overrun: in flight while step 9 ends the sequence
  runner.finish({1}, 2);
  EXPECT_TRUE(runner.scheduler.idle());
  EXPECT_EQ(runner.scheduler.stats().blocks_in_use, 3);  // the overrun step still names them
  runner.finish();
  EXPECT_EQ(runner.scheduler.stats().blocks_in_use, 0);
  EXPECT_EQ(runner.scheduler.stats().blocks_cached, 1);
}

TEST(Scheduler, ForgetDropsWhatWasTrimmedAfterTheEnd) {
  Runner runner(small());
  ASSERT_TRUE(runner.scheduler.add(request(1, count_up(4), 10)).ok());
  runner.run_to_end();
  EXPECT_EQ(runner.scheduler.stats().blocks_cached, 3);
  auto history = count_up(4);
  history.insert(history.end(), 10, 500);
  runner.scheduler.forget(0, 0, history, {}, 6);
  EXPECT_EQ(runner.scheduler.stats().blocks_cached, 1);
}

TEST(Scheduler, ChoicesShareThePromptAndCopyItsLastBlock) {
  Runner runner(small());
  NewSequence three = request(1, count_up(10), 2);
  three.ids = {1, 2, 3};
  ASSERT_TRUE(runner.scheduler.add(three).ok());
  const StepPlan& first = runner.plan();
  ASSERT_EQ(first.rows.size(), 1u);
  EXPECT_EQ(first.rows[0].num_tokens, 9);  // all but the last token
  const StepPlan& second = runner.plan();
  ASSERT_EQ(second.rows.size(), 3u);
  EXPECT_EQ(second.copies.size(), 2u);
  for (size_t row = 0; row < 3; ++row) {
    EXPECT_EQ(second.rows[row].first_position, 9);
    EXPECT_TRUE(second.rows[row].samples());
    const RowBlocks& blocks = second.blocks_of(row, 0);
    EXPECT_EQ(second.block_ids[blocks.offset], second.block_ids[second.blocks_of(0, 0).offset]);
  }
  EXPECT_EQ(runner.scheduler.pool().num_in_use(), 5);  // 2 shared, 3 own
  runner.finish();
  runner.finish();
  runner.run_to_end();
}

TEST(Scheduler, ChoicesThatWaitHoldNoCopyOfThePrompt) {
  SchedulerOptions options = small();
  options.max_batch_size = 1;
  Runner runner(options);
  NewSequence many = request(1, count_up(30), 2);
  for (SequenceId id = 2; id <= 128; ++id) many.ids.push_back(id);
  ASSERT_TRUE(runner.scheduler.add(many).ok());
  EXPECT_EQ(many.prompt.use_count(), 1 + 128);
  runner.run_to_end();
  EXPECT_EQ(many.prompt.use_count(), 1);
}

TEST(Scheduler, WhenTheLeaderIsCancelledTheNextChoiceComputesThePrompt) {
  Runner runner(small());
  NewSequence three = request(1, count_up(30), 2);
  three.ids = {1, 2, 3};
  three.bypass_cache = true;
  ASSERT_TRUE(runner.scheduler.add(three).ok());
  runner.plan();
  ASSERT_TRUE(runner.scheduler.cancel(1, 0));
  const StepPlan& plan = runner.plan();
  ASSERT_EQ(plan.rows.size(), 1u);
  EXPECT_EQ(plan.rows[0].sequence, 2u);
  runner.finish();
  runner.finish();
  runner.run_to_end();
  EXPECT_EQ(runner.scheduler.stats().prefix_hit_tokens, 29);  // the third forked from the second
}

TEST(Scheduler, TheNewestOfTheLowestPriorityIsPreemptedAndComesBackUnharmed) {
  SchedulerOptions options = small();
  options.num_blocks = 8;
  Runner runner(options);
  NewSequence urgent = request(2, count_up(12, 100), 12);
  urgent.priority = 1;
  ASSERT_TRUE(runner.scheduler.add(request(1, count_up(12), 12)).ok());
  ASSERT_TRUE(runner.scheduler.add(urgent).ok());
  while (runner.scheduler.stats().preemptions == 0) {
    runner.plan();
    runner.finish();
  }
  EXPECT_TRUE(runner.scheduler.has(1));
  EXPECT_EQ(runner.scheduler.stats().running, 1);
  EXPECT_NE(runner.row_of(runner.plan(), 2), nullptr);
  runner.finish();
  runner.run_to_end();
}

TEST(Scheduler, APreemptedSequenceWaitsForItsRowsInFlight) {
  SchedulerOptions options = small();
  options.num_blocks = 8;
  Runner runner(options);
  ASSERT_TRUE(runner.scheduler.add(request(1, count_up(16), 14)).ok());
  runner.plan();
  runner.finish();
  ASSERT_TRUE(runner.scheduler.add(request(2, count_up(9, 100), 6)).ok());
  // One step ahead, until the older one takes the younger one's blocks.
  int in_flight = 0;
  while (true) {
    in_flight += !runner.plan().empty();
    if (runner.scheduler.stats().preemptions > 0) break;
    if (in_flight > 1) {
      runner.finish();
      --in_flight;
    }
  }
  // All blocks are free for it now, but its last token is still on its way.
  runner.scheduler.cancel(1, 0);
  ASSERT_GT(in_flight, 0);
  runner.retire_all();
  EXPECT_EQ(runner.scheduler.stats().blocks_in_use, 0);
  EXPECT_TRUE(runner.plan().empty());
  while (in_flight-- > 0) runner.complete();
  runner.run_to_end();
}

TEST(Scheduler, GeneratedBlocksPublishedByAPreemptionAreForgottenWhenTrimmed) {
  SchedulerOptions options = small();
  options.num_blocks = 8;
  Runner runner(options);
  ASSERT_TRUE(runner.scheduler.add(request(1, count_up(8, 100), 20)).ok());
  ASSERT_TRUE(runner.scheduler.add(request(2, count_up(3), 25)).ok());
  while (runner.scheduler.stats().preemptions == 0) {
    runner.plan();
    runner.finish();
  }
  const int cached = runner.scheduler.stats().blocks_cached;
  EXPECT_GT(cached, 1);
  ASSERT_TRUE(runner.scheduler.cancel(2, 1));  // prompt and one token: one full block
  EXPECT_EQ(runner.scheduler.stats().blocks_cached, 1);
  runner.run_to_end();
}

TEST(Scheduler, TheMostSeniorPromptGetsATokenBesideDecodes) {
  SchedulerOptions options = small();
  options.budget.max_step_tokens = 2;
  Runner runner(options);
  NewSequence senior = request(1, count_up(4), 1);
  senior.ids = {1, 2};
  NewSequence drafting = request(3, count_up(1, 100), 40);
  drafting.draft_tokens = 3;
  ASSERT_TRUE(runner.scheduler.add(senior).ok());
  ASSERT_TRUE(runner.scheduler.add(drafting).ok());
  runner.plan();
  runner.finish();
  EXPECT_EQ(runner.plan().rows.size(), 2u);  // the prompt stops to fork, which lets the junior in
  runner.finish();
  const StepPlan& plan = runner.plan();
  ASSERT_EQ(plan.rows.size(), 2u);
  EXPECT_NE(runner.row_of(plan, 1), nullptr);
  EXPECT_EQ(runner.row_of(plan, 3)->num_tokens, 1);  // of the two that it could use
  runner.finish();
  runner.run_to_end();
}

TEST(Scheduler, AStreamOfUrgentRequestsCannotStarveTheRest) {
  SchedulerOptions options = small();
  options.max_batch_size = 1;
  Runner runner(options);
  Scheduler& scheduler = runner.scheduler;
  NewSequence urgent = request(1, count_up(4), 2);
  urgent.priority = 1;
  ASSERT_TRUE(scheduler.add(urgent).ok());
  ASSERT_TRUE(scheduler.add(request(2, count_up(4), 2)).ok());
  SequenceId next = 3;
  int steps = 0;
  for (; scheduler.has(2) && steps < 5000; ++steps) {
    urgent.ids = {next++};
    ASSERT_TRUE(scheduler.add(urgent).ok());
    runner.plan();
    runner.finish();
  }
  EXPECT_GT(steps, 500);   // urgent ones did go first
  EXPECT_LT(steps, 2500);  // those of the 1000 steps before it in rank, two steps each
}

TEST(Scheduler, AdaptersAndMediaAreAdmittedAsTheyFit) {
  SchedulerOptions options = small();
  options.adapter_slots = 1;
  options.encoder_tokens = 10;
  Runner runner(options);
  NewSequence a = request(1, count_up(4), 3);
  a.adapter = 5;
  NewSequence b = request(2, count_up(4), 1);
  b.adapter = 6;
  ASSERT_TRUE(runner.scheduler.add(a).ok());
  ASSERT_TRUE(runner.scheduler.add(b).ok());
  const StepPlan& first = runner.plan();
  ASSERT_EQ(first.adapter_loads.size(), 1u);
  EXPECT_EQ(first.adapter_loads[0].adapter, 5u);
  EXPECT_EQ(first.rows.size(), 1u);
  runner.finish({1}, 1);
  const StepPlan& second = runner.plan();
  ASSERT_EQ(second.adapter_loads.size(), 1u);
  EXPECT_EQ(second.adapter_loads[0].adapter, 6u);
  runner.finish();

  NewSequence image = request(3, count_up(20), 1);
  image.encoder_tokens = 6;
  ASSERT_TRUE(runner.scheduler.add(image).ok());
  image.ids = {4};
  image.salt = 1;
  ASSERT_TRUE(runner.scheduler.add(image).ok());
  EXPECT_EQ(runner.plan().rows.size(), 1u);  // 16 of its 20 tokens
  runner.finish();
  EXPECT_EQ(runner.plan().rows.size(), 1u);  // the second's media do not fit beside the first's
  runner.finish();
  runner.run_to_end();
  image.ids = {5};
  image.encoder_tokens = 11;
  EXPECT_FALSE(runner.scheduler.add(image).ok());
}

TEST(Scheduler, ASteadyStateStepReusesThePlansMemory) {
  Runner runner(small());
  Scheduler& scheduler = runner.scheduler;
  ASSERT_TRUE(scheduler.add(request(1, count_up(4), 100)).ok());
  StepPlan plan;
  const int32_t token = 1;
  const PlanRow* rows = nullptr;
  for (int i = 0; i < 20; ++i) {
    scheduler.plan(plan);
    ASSERT_EQ(plan.rows.size(), 1u);
    if (i > 0) {
      EXPECT_EQ(plan.rows.data(), rows);
    }
    rows = plan.rows.data();
    const RowResult result{.tokens = {&token, 1}};
    scheduler.complete(plan.step, {&result, 1});
    scheduler.retire(plan.step);
  }
}

}  // namespace
}  // namespace lmdeploy
