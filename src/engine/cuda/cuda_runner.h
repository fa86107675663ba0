// CudaRunner: the ModelRunner of a GPU. Two steps are on their way at a time: while the device runs
// one, the host plans, uploads and queues the next. What a step computes is queued on one stream
//
//   page copies -> forward -> logits -> sampler
//
// so its decode rows find their token in the sampling table, where the step before left it. Uploads
// and downloads have streams of their own: the next upload is there before this step ends, and the
// next step begins while this one's tokens are on their way to the host.
// Steps of up to 256 decode rows alone replay captured graphs; all others, and all in debug mode
// (TM_DEBUG_LEVEL=DEBUG) and eager mode, queue their kernels one by one.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <unordered_map>

#include "engine/cuda/decode_graphs.h"
#include "engine/cuda/prompt_scorer.h"
#include "engine/cuda/step_buffers.h"
#include "engine/sequence_state.h"
#include "tensor/arena.h"
#include "tensor/cuda/pinned.h"

namespace lmdeploy::cuda {

class CudaRunner final : public ModelRunner {
 public:
  static Result<std::unique_ptr<ModelRunner>> make(std::unique_ptr<CausalLm> model,
                                                   std::unique_ptr<Stream> stream,
                                                   const RunnerOptions& options);
  ~CudaRunner() override;

  const ModelInfo& model_info() const override { return model_->info(); }
  size_t workspace_bytes() const override { return workspace_bytes_; }
  void use_cache(std::unique_ptr<KvCache> kv) override { kv_ = std::move(kv); }
  void add_sequence(SequenceId id, const Sequence& sequence) override;
  void remove_sequence(SequenceId id) override;
  PromptScores take_prompt_scores(SequenceId id) override;
  int depth() const override { return kDepth; }
  void launch(const StepPlan& plan) override;
  Result<const StepOutput*> collect() override;
  double graph_seconds() const override { return graph_seconds_; }

 private:
  static constexpr int kDepth = 2;

  // A step between launch() and collect(), and its pinned memory.
  struct Pending {
    PinnedMemory upload;   // i32 words of StepLayout
    PinnedMemory lists;    // words of the sampling rows' lists; grows
    PinnedMemory results;  // SampledToken [max batch]
    cudaEvent_t uploaded = nullptr, computed = nullptr, done = nullptr;
    std::array<cudaEvent_t, 4> borders = {};  // of forward and sampler graph, where they are timed
    bool timed = false;
    StepId step = 0;
    size_t rows = 0;
    struct Sampled {
      size_t row;
      SequenceId sequence;
    };
    std::vector<Sampled> sampled;
  };

  CudaRunner(std::unique_ptr<CausalLm> model, std::unique_ptr<Stream> stream,
             const RunnerOptions& options);
  Status allocate();
  Status warm_up();
  struct PaddingRow {
    int32_t tokens;
    uint32_t flags;  // besides those of a prompt that samples
  };
  void run_padding(const std::vector<PaddingRow>& rows);

  Ctx ctx() { return Ctx{*stream_, arena_, options_.batch_invariant}; }
  void describe_rows(const StepPlan& plan, Pending& pending);
  void upload(const StepPlan& plan, const StepLayout& layout, Pending& pending);
  void upload_lists(Pending& pending);
  void copy_on(cudaStream_t stream, void* destination, const void* source, size_t bytes);
  void copy_blocks(const StepPlan& plan);
  void run_graphs(const StepLayout& layout, Pending& pending);
  void mark(Pending& pending, size_t border);
  void add_graph_time(const Pending& pending);
  void run_eagerly(const StepPlan& plan, const StepLayout& layout);
  SampledToken* results() const;
  void forward(const StepLayout& layout, int max_query_len, int max_kv_len,
               const TensorView& hidden);
  void score_prompts(const StepPlan& plan, const TensorView& hidden);
  void sample(const StepLayout& layout, const TensorView& logits);
  void download(Pending& pending);

  RunnerOptions options_;
  DType activations_;
  std::unique_ptr<Stream> owned_stream_;
  CudaStream* stream_;
  std::unique_ptr<CausalLm> model_;
  std::unique_ptr<KvCache> kv_;
  Arena arena_;
  SamplingTable table_;
  StepBuffers buffers_;
  std::array<Tensor, kDepth> lists_;    // u8, by side: words of the sampling rows' lists; grow
  std::array<Tensor, kDepth> results_;  // by side: SampledToken [max batch]
  cudaStream_t uploads_ = nullptr, downloads_ = nullptr;
  PromptScorer scorer_;
  DecodeGraphs graphs_;
  size_t workspace_bytes_ = 0;
  double graph_seconds_ = 0;
  std::unordered_map<SequenceId, SequenceState> states_;

  std::array<Pending, kDepth> pending_;
  int64_t launched_ = 0, collected_ = 0;
  StepOutput output_;

  // Of the step being launched; vectors are kept for their capacity.
  int side_ = 0;  // of the buffers: steps take turns
  Batch batch_;
  SamplingBatch sampling_;
  std::vector<SequenceState*> row_states_;
  std::vector<int32_t> rope_lengths_;
  std::vector<LogitRange> ranges_;
};

}  // namespace lmdeploy::cuda
