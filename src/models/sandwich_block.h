// SandwichBlock: r += post(attention(norm(r))); r += post(mlp(norm(r))). Gemma 2's and 3's layer, and
// GLM-4-0414's.
#pragma once

#include "nn/attention.h"
#include "nn/gated_mlp.h"
#include "nn/norm.h"

namespace lmdeploy {

// Where a layer keeps its norms.
struct SandwichNames {
  const char* input_norm = "input_layernorm";
  const char* attention_post_norm = "post_attention_layernorm";
  const char* mlp_norm = "pre_feedforward_layernorm";
  const char* mlp_post_norm = "post_feedforward_layernorm";
};

// Meets the protocol of models/decoder_lm.h.
class SandwichBlock {
 public:
  using Norm = RmsNorm;

  // Reads self_attn, mlp and the four norms under `weights`.
  SandwichBlock(const Weights& weights, const BuildOptions& options, const NormConfig& norm,
                const AttentionConfig& attention, const GatedMlpConfig& mlp, int layer,
                const SandwichNames& names = {})
      : input_norm_(weights / names.input_norm, options, norm),
        attention_(weights / "self_attn", options, attention, layer),
        attention_post_norm_(weights / names.attention_post_norm, options, norm),
        mlp_norm_(weights / names.mlp_norm, options, norm),
        mlp_(weights / "mlp", options, mlp),
        mlp_post_norm_(weights / names.mlp_post_norm, options, norm) {}

  const Norm& input_norm() const { return input_norm_; }

  void forward(const Step& step, const TensorView& residual, const TensorView& x,
               const Norm& next) const {
    ArenaScope scope(step.ctx.scratch);
    const TensorView delta = step.activations(x.dim(1));
    attention_.forward(step, x, delta, MatmulEpilogue::kStore);
    attention_post_norm_.forward_sandwich(step.ctx, residual, delta, mlp_norm_, x);
    mlp_.forward(step, x, delta, MatmulEpilogue::kStore);
    mlp_post_norm_.forward_sandwich(step.ctx, residual, delta, next, x);
  }

  size_t bytes() const {
    return input_norm_.bytes() + attention_.bytes() + attention_post_norm_.bytes() +
           mlp_norm_.bytes() + mlp_.bytes() + mlp_post_norm_.bytes();
  }

 private:
  RmsNorm input_norm_;
  Attention attention_;
  RmsNorm attention_post_norm_, mlp_norm_;
  GatedMlp mlp_;
  RmsNorm mlp_post_norm_;
};

}  // namespace lmdeploy
