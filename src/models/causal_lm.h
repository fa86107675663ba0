// CausalLm: a loaded language model on one device. The engine's only view of models.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "kernels/ctx.h"
#include "nn/batch.h"
#include "nn/kv_cache.h"
#include "nn/parallel.h"

namespace lmdeploy {

struct ModelInfo {
  std::string architecture;  // "LlamaForCausalLM"
  int64_t vocab_size = 0;    // rows of the logits
  int64_t hidden_size = 0;
  // Elements of scratch that a token takes in the widest of the layers that are wider than usual.
  int64_t step_columns = 0;
  int64_t num_layers = 0;
  int64_t max_position = 0;  // longest context the configuration declares, scaling included
  bool rope_by_length = false;      // keys of sequences with prompts of other lengths do not fit
  std::vector<KvGroup> kv_groups;
  size_t weight_bytes = 0;  // in memory, packed
  DType activations = DType::kF32;  // f32 on the CPU; that of the weights on CUDA
};

// Not thread-safe: one thread issues forwards.
class CausalLm {
 public:
  virtual ~CausalLm() = default;
  virtual const ModelInfo& info() const = 0;

  // Runs the batch, writes its K and V into the cache, and the final-norm hidden state of each
  // batch.logit_rows[r] into hidden [R, hidden_size], of info().activations.
  virtual void forward(Ctx& ctx, const Batch& batch, KvCache& kv, const TensorView& hidden) = 0;

  // logits f32 [R, vocab_size] of hidden [R, hidden_size], logit softcap applied.
  virtual void logits(Ctx& ctx, const TensorView& hidden, const TensorView& logits) = 0;
};

struct ModelOptions {
  // "auto" keeps the checkpoint's types (block formats with int8 activations; on CUDA all matrices
  // get one type, checkpoint/weight_type.h); "float32", "float16", "bfloat16" convert every weight.
  std::string dtype = "auto";
  // Dynamic NTK factor that overrides the configuration's scaling; 0: the model's own.
  double rope_scaling_factor = 0;
  // logn attention (kernels/logn_scale.h) for a model whose configuration does not ask for it.
  bool use_logn_attn = false;
  // All forwards will be batch-invariant (kernels/ctx.h): what only others read is not loaded.
  bool batch_invariant = false;
  // Random weights of the configuration's shapes instead of the files'.
  bool dummy_weights = false;
  // The part of a tensor-parallel group that this model is; its forwards need Ctx::ranks.
  Parallel parallel;
};

// Bytes done and in all; called from worker threads.
using LoadProgress = std::function<void(size_t, size_t)>;

// Asked with a model that is built and checked before any weight is read, whose weight_bytes are what
// loading will take: an error stops the load.
using LoadConsent = std::function<Status(const ModelInfo&)>;

// Builds the architecture that the configuration names (models/registry.h) and loads it on the
// stream's device. Every problem of configuration and tensors is in the Status.
Result<std::unique_ptr<CausalLm>> load_model(const Checkpoint& checkpoint,
                                             const ModelOptions& options, Stream& stream,
                                             const LoadProgress& progress = {},
                                             const LoadConsent& consent = {});

}  // namespace lmdeploy
