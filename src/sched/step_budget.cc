#include "sched/step_budget.h"

#include <algorithm>

#include "base/check.h"

namespace lmdeploy {

StepBudget::StepBudget(const StepBudgetOptions& options)
    : options_(options), floors_(std::max(1, options.prefill_steps), 0) {
  CHECK(options.max_step_tokens > 0, "max_step_tokens is {}", options.max_step_tokens);
  if (options_.tokens_per_step <= 0) options_.tokens_per_step = options_.max_step_tokens;
}

int StepBudget::prefill_tokens(int64_t pending, int decode_tokens) {
  const auto steps = static_cast<int64_t>(floors_.size());
  const int64_t need = (pending + steps - 1) / steps;
  for (int64_t& floor : floors_) floor = std::max(floor, need);
  const int64_t floor = floors_[next_];
  floors_[next_] = 0;
  next_ = (next_ + 1) % floors_.size();
  const int64_t total = std::min<int64_t>(
      std::max<int64_t>(floor + decode_tokens, options_.tokens_per_step), options_.max_step_tokens);
  return static_cast<int>(std::max<int64_t>(0, total - decode_tokens));
}

}  // namespace lmdeploy
