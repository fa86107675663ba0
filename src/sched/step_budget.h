// StepBudget: how many tokens a step may have. Decode rows always go; prompt chunks fill the rest.
//
// With T = tokens_per_step and I = prefill_steps, prompts that are pending now are meant to be
// computed within I steps: need = ceil(pending / I) stays a floor for the prompt tokens of the next
// I steps, and the step's total is min(max(floor + decodes, T), max_step_tokens)
// (TurboMind's dynamic split-fuse: `num_tokens_per_iter`, `max_prefill_iters`).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lmdeploy {

struct StepBudgetOptions {
  int max_step_tokens = 8192;  // `max_prefill_token_num`: no step has more, decodes included
  int tokens_per_step = 0;     // `num_tokens_per_iter`; 0: max_step_tokens
  int prefill_steps = 1;       // `max_prefill_iters`
};

class StepBudget {
 public:
  explicit StepBudget(const StepBudgetOptions& options);

  int max_step_tokens() const { return options_.max_step_tokens; }

  // Prompt tokens that the next step may have beside `decode_tokens` decode tokens, when
  // `pending` prompt tokens wait to be computed. Called once per step.
  int prefill_tokens(int64_t pending, int decode_tokens);

 private:
  StepBudgetOptions options_;
  std::vector<int64_t> floors_;  // ring of the next prefill_steps steps
  size_t next_ = 0;
};

}  // namespace lmdeploy
