// ModelRunner: executes step plans on one device: batch, forward, logits, sampling. It owns the
// model, its stream, the KV pages and what the sampler remembers of each sequence.
//
// launch() gives a step to the device, collect() waits for the oldest one that was launched. On the
// CPU a step is over when launch() returns (depth 1); on CUDA the next step is launched while the
// last one runs (depth 2), and its decode rows read their token where the sampler left it.
#pragma once

#include <memory>
#include <vector>

#include "engine/request.h"
#include "engine/sampling_state.h"
#include "models/causal_lm.h"
#include "nn/kv_cache.h"
#include "sched/step_plan.h"
#include "tensor/stream.h"

namespace lmdeploy {

// Scores of a prompt's tokens, collected over its chunks.
struct PromptScores {
  std::vector<TokenOutput> tokens;  // [prompt]; the first has logprob NaN
  std::vector<float> last_logits;   // raw, after the last prompt token
};

struct StepOutput {
  StepId step = 0;
  // One per plan row. token = -1 where the row does not sample, or has no finite logit (samples()
  // tells which).
  std::vector<SampledToken> sampled;
};

struct RunnerOptions {
  int max_batch_size = 0;
  int step_tokens = 0;      // the most of one step
  int64_t session_len = 0;  // the longest context
  int block_tokens = 0;
  DType kv_dtype = DType::kF32;
  bool batch_invariant = false;  // a row's result does not depend on its company
  bool eager_mode = false;       // CUDA: no captured graphs
  bool time_graphs = false;      // CUDA: measure graph_seconds(), which costs microseconds a step
};

// Upper estimate of the activations of the largest step and the logits of the largest batch, for
// the usual ratios of hidden to intermediate size.
size_t estimated_workspace(const ModelInfo& info, const RunnerOptions& options);

// Engine thread only.
class ModelRunner {
 public:
  virtual ~ModelRunner() = default;

  virtual const ModelInfo& model_info() const = 0;
  // Device memory that steps take beside weights and KV pages.
  virtual size_t workspace_bytes() const = 0;
  // The pages of all steps from now on; before the first launch().
  virtual void use_cache(std::unique_ptr<KvCache> kv) = 0;

  struct Sequence {
    const GenerateRequest* request = nullptr;  // outlives the sequence
    int choice = 0;
    std::shared_ptr<const RequestSampling> sampling;  // one for all choices
    bool score_prompt = false;  // choice 0 of prompt_logprobs / last_logits
  };
  virtual void add_sequence(SequenceId id, const Sequence& sequence) = 0;
  // Rows of the sequence in launched steps are ignored.
  virtual void remove_sequence(SequenceId id) = 0;
  // Scores of a sequence added with score_prompt; complete once its first token is sampled.
  virtual PromptScores take_prompt_scores(SequenceId id) = 0;

  // Steps that may be launched and not collected.
  virtual int depth() const = 0;
  // Every sequence in the plan must have been added.
  virtual void launch(const StepPlan& plan) = 0;
  // Results of the oldest launched step, valid until the next call. kInternal when the device has
  // failed: nothing can run any more.
  virtual Result<const StepOutput*> collect() = 0;
  // Seconds that the device has spent in the graphs of collected decode steps; 0 unless they are
  // timed.
  virtual double graph_seconds() const { return 0; }
};

// The runner of the stream's device. kResourceExhausted when the largest step does not fit the
// device beside the weights: the sum, and the flags that help.
Result<std::unique_ptr<ModelRunner>> make_model_runner(std::unique_ptr<CausalLm> model,
                                                       std::unique_ptr<Stream> stream,
                                                       const RunnerOptions& options);

}  // namespace lmdeploy
