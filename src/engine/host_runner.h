// HostRunner: the ModelRunner of the CPU. A step is over when launch() returns.
#pragma once

#include <span>
#include <unordered_map>

#include "engine/batch_builder.h"
#include "engine/sequence_state.h"
#include "tensor/arena.h"

namespace lmdeploy {

class HostRunner final : public ModelRunner {
 public:
  // `ranks`: this rank's end of a tensor-parallel group, or nullptr.
  HostRunner(std::unique_ptr<CausalLm> model, std::unique_ptr<Stream> stream,
             const RunnerOptions& options, Communicator* ranks = nullptr);

  const ModelInfo& model_info() const override { return model_->info(); }
  size_t workspace_bytes() const override { return estimated_workspace(model_->info(), options_); }
  void use_cache(std::unique_ptr<KvCache> kv) override { kv_ = std::move(kv); }
  void add_sequence(SequenceId id, const Sequence& sequence) override;
  void remove_sequence(SequenceId id) override;
  PromptScores take_prompt_scores(SequenceId id) override;
  int depth() const override { return 1; }
  void launch(const StepPlan& plan) override;
  Result<const StepOutput*> collect() override { return &output_; }

 private:
  void copy_blocks(const StepPlan& plan);
  void score_prompts(Ctx& ctx, const StepPlan& plan, const TensorView& hidden);
  void sample_rows(Ctx& ctx, const StepPlan& plan, const TensorView& hidden);

  RunnerOptions options_;
  Communicator* ranks_;
  std::unique_ptr<CausalLm> model_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<KvCache> kv_;
  Arena arena_;
  std::unordered_map<SequenceId, SequenceState> states_;
  std::vector<int32_t> last_token_;  // by slot

  // Of the step being run; kept for their capacity.
  Batch batch_;
  StepOutput output_;
  std::vector<SequenceState*> row_states_;
  std::vector<RowFacts> facts_;
  std::vector<LogitRange> ranges_;
  std::vector<SamplingRow> sampling_rows_;
  std::vector<SampledToken> sampled_;
  std::vector<size_t> sampling_row_of_;  // plan row of each sampling row
};

}  // namespace lmdeploy
