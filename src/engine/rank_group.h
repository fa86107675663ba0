// RankGroup: the ModelRunner of a tensor-parallel group on the CPU. Every rank is a HostRunner with
// its part of the model and of the KV pages, on a thread of its own; all run the same plans. What
// they exchange within a forward (comm/cpu/thread_group.h) leaves the same logits on every rank, so
// that all of them sample the same tokens.
#pragma once

#include <memory>
#include <vector>

#include "comm/cpu/thread_group.h"
#include "engine/host_runner.h"

namespace lmdeploy {

// One rank's part of a model, and where it runs.
struct ModelRank {
  std::unique_ptr<CausalLm> model;
  std::unique_ptr<Stream> stream;
};

class RankGroup final : public ModelRunner {
 public:
  RankGroup(std::vector<ModelRank> ranks, const RunnerOptions& options);

  // Of one rank, but for the weights, which are those of all.
  const ModelInfo& model_info() const override { return info_; }
  size_t workspace_bytes() const override;
  // The first rank's pages; the other ranks make theirs alike.
  void use_cache(std::unique_ptr<KvCache> kv) override;
  void add_sequence(SequenceId id, const Sequence& sequence) override;
  void remove_sequence(SequenceId id) override;
  PromptScores take_prompt_scores(SequenceId id) override;
  int depth() const override { return 1; }
  void launch(const StepPlan& plan) override;
  Result<const StepOutput*> collect() override { return ranks_.front()->collect(); }

 private:
  ThreadGroup group_;
  ThreadPool team_;  // a thread a rank, on the first core of the rank's pool
  std::vector<std::unique_ptr<HostRunner>> ranks_;
  ModelInfo info_;
  DType kv_dtype_;
};

}  // namespace lmdeploy
