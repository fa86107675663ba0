// ModelRunner: executes step plans on one rank: batch, forward, logits, sampling. It owns the model,
// its stream, the KV pages and what the sampler remembers of each sequence.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/batch_builder.h"
#include "engine/request.h"
#include "engine/sampling_state.h"
#include "models/causal_lm.h"
#include "nn/kv_cache.h"
#include "sched/step_plan.h"
#include "tensor/arena.h"
#include "tensor/stream.h"

namespace lmdeploy {

// Scores of a prompt's tokens, collected over its chunks.
struct PromptScores {
  std::vector<TokenOutput> tokens;   // [prompt]; the first has logprob NaN
  std::vector<float> last_logits;    // raw, after the last prompt token
};

struct StepOutput {
  StepId step = 0;
  // One per plan row. token = -1 where the row does not sample, or has no finite logit (samples()
  // tells which).
  std::vector<SampledToken> sampled;
};

// Engine thread only.
class ModelRunner {
 public:
  ModelRunner(std::unique_ptr<CausalLm> model, std::unique_ptr<Stream> stream,
              std::unique_ptr<KvCache> kv, int max_batch_size);

  const ModelInfo& model_info() const { return model_->info(); }
  Arena& arena() { return arena_; }
  KvCache& kv_cache() { return *kv_; }

  struct Sequence {
    const GenerateRequest* request = nullptr;  // outlives the sequence
    int choice = 0;
    SamplingState::Context context;            // copied from while adding
    bool score_prompt = false;                 // choice 0 of prompt_logprobs / last_logits
  };
  void add_sequence(SequenceId id, const Sequence& sequence);
  void remove_sequence(SequenceId id);
  // Scores of a sequence added with score_prompt; complete once its first token is sampled.
  PromptScores take_prompt_scores(SequenceId id);

  // Runs the plan to its end. Every sequence in it must have been added. Valid until the next run.
  const StepOutput& run(const StepPlan& plan);

 private:
  struct State {
    SamplingState sampling;
    const GenerateRequest* request;
    int32_t rope_length;
    bool score_prompt;
    PromptScores scores;
  };

  void copy_blocks(const StepPlan& plan);
  void score_prompts(Ctx& ctx, const StepPlan& plan, const TensorView& hidden);
  void score_chunk(Ctx& ctx, State& state, int64_t first_position, const TensorView& hidden);
  void sample_rows(Ctx& ctx, const StepPlan& plan, const TensorView& hidden);

  std::unique_ptr<CausalLm> model_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<KvCache> kv_;
  Arena arena_;
  std::unordered_map<SequenceId, State> states_;
  std::vector<int32_t> last_token_;   // by slot

  // Of the step being run; kept for their capacity.
  Batch batch_;
  StepOutput output_;
  std::vector<State*> row_states_;
  std::vector<RowFacts> facts_;
  std::vector<LogitRange> ranges_;
  std::vector<SamplingRow> sampling_rows_;
  std::vector<SampledToken> sampled_;
  std::vector<size_t> sampling_row_of_;  // plan row of each sampling row
};

}  // namespace lmdeploy
