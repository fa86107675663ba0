// A runner of one step at a time made one of depth 2, as a GPU's is: a step that is launched while
// another is on its way runs when that one is collected, and the engine learns of each one step late.
#pragma once

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/model_runner.h"

namespace lmdeploy::testing {

class DelayedRunner final : public ModelRunner {
 public:
  explicit DelayedRunner(std::unique_ptr<ModelRunner> runner) : runner_(std::move(runner)) {}

  const ModelInfo& model_info() const override { return runner_->model_info(); }
  size_t workspace_bytes() const override { return runner_->workspace_bytes(); }
  void use_cache(std::unique_ptr<KvCache> kv) override { runner_->use_cache(std::move(kv)); }
  void add_sequence(SequenceId id, const Sequence& sequence) override {
    runner_->add_sequence(id, sequence);
  }
  // Steps that wait may still name the sequence: it stays until they have run.
  void remove_sequence(SequenceId id) override {
    removed_.push_back(id);
    if (plans_.size() < 2) remove();
  }
  PromptScores take_prompt_scores(SequenceId id) override {
    return runner_->take_prompt_scores(id);
  }
  int depth() const override { return 2; }

  void launch(const StepPlan& plan) override {
    plans_.push_back(plan);
    CHECK(plans_.size() <= 2, "{} steps are on their way", plans_.size());
    if (plans_.size() == 1) runner_->launch(plan);
  }

  Result<const StepOutput*> collect() override {
    ASSIGN_OR_RETURN(const StepOutput* const output, runner_->collect());
    output_ = *output;
    plans_.pop_front();
    if (!plans_.empty()) runner_->launch(plans_.front());
    remove();
    return &output_;
  }

 private:
  void remove() {
    for (SequenceId id : removed_) runner_->remove_sequence(id);
    removed_.clear();
  }

  std::unique_ptr<ModelRunner> runner_;
  std::deque<StepPlan> plans_;  // the first has run
  std::vector<SequenceId> removed_;
  StepOutput output_;
};

}  // namespace lmdeploy::testing
