#include "sched/step_budget.h"

#include <gtest/gtest.h>

namespace lmdeploy {
namespace {

TEST(StepBudget, ByDefaultPromptsFillTheStep) {
  StepBudget budget({.max_step_tokens = 100});
  EXPECT_EQ(budget.prefill_tokens(1000, 0), 100);
  EXPECT_EQ(budget.prefill_tokens(1000, 30), 70);
  EXPECT_EQ(budget.prefill_tokens(0, 130), 0);
}

TEST(StepBudget, TokensPerStepBoundsAStepUnlessTheFloorIsHigher) {
  StepBudget budget({.max_step_tokens = 100, .tokens_per_step = 20, .prefill_steps = 4});
  EXPECT_EQ(budget.prefill_tokens(8, 5), 15);   // max(2 + 5, 20) - 5
  EXPECT_EQ(budget.prefill_tokens(200, 5), 50);  // ceil(200 / 4)
  EXPECT_EQ(budget.prefill_tokens(150, 60), 40);  // at most 100 in all
}

TEST(StepBudget, AFloorHoldsForTheNextSteps) {
  StepBudget budget({.max_step_tokens = 1000, .tokens_per_step = 1, .prefill_steps = 3});
  EXPECT_EQ(budget.prefill_tokens(90, 0), 30);
  EXPECT_EQ(budget.prefill_tokens(60, 0), 30);  // not ceil(60 / 3)
  EXPECT_EQ(budget.prefill_tokens(30, 0), 30);
  EXPECT_EQ(budget.prefill_tokens(9, 0), 20);   // the floor of the second step
  EXPECT_EQ(budget.prefill_tokens(0, 0), 10);
  EXPECT_EQ(budget.prefill_tokens(0, 0), 3);
  EXPECT_EQ(budget.prefill_tokens(0, 0), 1);
}

}  // namespace
}  // namespace lmdeploy
