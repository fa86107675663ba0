// LatentAttention: multi-head latent attention (MLA: DeepSeek V2, arXiv 2405.04434 section 2.1) in
// its absorbed form: the cache keeps a token's compressed latent and one rotated key for all heads;
// queries are brought to the latent's space and the attended latents back to the heads' values. Where
// the device has a kernel for it, whole prompts are attended over expanded keys and values instead.
#pragma once

#include <memory>

#include "kernels/expanded_attention.h"
#include "nn/head_linear.h"
#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/step.h"

namespace lmdeploy {

struct LatentAttentionConfig {
  int64_t hidden = 0;
  int heads = 0;
  int64_t query_rank = 0;  // of the compressed query; 0: queries are not compressed
  int latent_dim = 0;      // kv_lora_rank
  int nope_dim = 0;        // of a head's query and key without rotation
  int rope_dim = 0;        // of the rotated part
  int value_dim = 0;
  float scale = 0;         // multiplies q.k
  float norm_eps = 1e-6f;
  Bias bias = Bias::kNone;  // of q_a_proj, kv_a_proj_with_mqa and o_proj

  int head_dim() const { return latent_dim + rope_dim; }  // of the cache
};

class LatentAttention {
 public:
  // Reads q_proj (or q_a_proj, q_a_layernorm, q_b_proj), kv_a_proj_with_mqa, kv_a_layernorm,
  // kv_b_proj and o_proj under `weights`; rotary pairs are neighbours there. `layer`: the model's
  // layer, whose pages it uses.
  LatentAttention(const Weights& weights, const BuildOptions& options,
                  const LatentAttentionConfig& config, int layer);

  // x f32 [T, hidden]; out f32 [T, hidden] is stored, or added to.
  void forward(const Step& step, const TensorView& x, const TensorView& out,
               MatmulEpilogue epilogue) const;
  size_t bytes() const;
  // Elements of scratch that a token takes.
  int64_t step_columns() const {
    return query_.out() + 2 * config_.query_rank + (2 * heads_ + 1) * config_.head_dim() + out_.in() +
           (expand_ == nullptr ? 0 : expand_->out());
  }

 private:
  // [T, heads * nope_dim | heads * rope_dim].
  TensorView queries(const Step& step, const TensorView& x) const;
  // Whether the step may have whole prompts that are attended over expanded keys and values.
  bool expands(const Step& step) const;
  void attend(const Step& step, const TensorView& query, const TensorView& context) const;
  // The rows of whole prompts in `values` [T, heads * value_dim], from this step's latents. `heads` is
  // of queries(); the rotated part is in `query`.
  void attend_expanded(const Step& step, const TensorView& heads, const TensorView& query,
                       const TensorView& latent, const TensorView& values) const;
  ExpandedDims dims() const { return {config_.nope_dim, config_.rope_dim, config_.value_dim}; }

  LatentAttentionConfig config_;
  int layer_;
  int heads_;  // of this rank
  std::unique_ptr<Linear> query_down_;  // nullptr: queries are not compressed
  std::unique_ptr<RmsNorm> query_norm_;
  Linear query_, latent_;
  RmsNorm latent_norm_;
  HeadLinear key_up_, value_up_;    // halves of kv_b_proj
  std::unique_ptr<Linear> expand_;  // all of it: keys of all heads, then values; nullptr: not used
  Linear out_;
};

}  // namespace lmdeploy
