// RotaryEmbedding: cos and sin of a step's positions, computed once and shared by the layers.
#pragma once

#include "checkpoint/load_plan.h"
#include "nn/build_options.h"
#include "nn/rope_config.h"
#include "nn/step.h"

namespace lmdeploy {

// Does not move: a declared load may point to it.
class RotaryEmbedding {
 public:
  RotaryEmbedding(RopeConfig config, const BuildOptions& options);
  RotaryEmbedding(const RotaryEmbedding&) = delete;
  RotaryEmbedding& operator=(const RotaryEmbedding&) = delete;

  // Declares rope_freqs.weight [rotary_dim / 2], which a GGUF file may have at the `root` of the
  // name tree: the frequencies are divided by it (that is how such a file says llama3 scaling).
  // Divisors that are not positive numbers are refused.
  void declare_divisors(const Weights& root, const BuildOptions& options);

  // Of the divisors, once loaded.
  size_t bytes() const { return divisors_.size() * sizeof(float); }

  // f32 [T, rotary_dim] in scratch (kernels/rope.h). Sequences rotate by their Batch.rope_len,
  // which stays the same over a sequence's life, so that its cached keys fit.
  TensorView cos_sin(Ctx& ctx, const Batch& batch) const;

 private:
  void make_frequencies(const BuildOptions& options);
  Tensor frequencies_for(int64_t length, const BuildOptions& options) const;

  RopeConfig config_;
  std::vector<float> divisors_;  // [rotary_dim / 2], or empty
  Tensor frequencies_;           // f32 [1, rotary_dim / 2]: of any length, or of those up to limit_
  Tensor beyond_;                // the same for longer sequences (longrope), or empty
  int64_t limit_ = 0;            // of rotations that depend on the length
};

}  // namespace lmdeploy
