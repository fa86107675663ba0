// PreNormBlock: r += attention(norm(r)); r += mlp(norm(r)). Llama's layer, and most others'.
#pragma once

#include "nn/attention.h"
#include "nn/gated_mlp.h"
#include "nn/norm.h"

namespace lmdeploy {

// Meets the protocol of models/decoder_lm.h.
class PreNormBlock {
 public:
  // Reads input_layernorm, self_attn, post_attention_layernorm and mlp under `weights`.
  PreNormBlock(const Weights& weights, const BuildOptions& options, const NormConfig& norm,
               const AttentionConfig& attention, const GatedMlpConfig& mlp, int layer);

  const RmsNorm& input_norm() const { return input_norm_; }
  void forward(const Step& step, const TensorView& residual, const TensorView& x,
               const RmsNorm& next) const;
  size_t bytes() const {
    return input_norm_.bytes() + attention_.bytes() + post_norm_.bytes() + mlp_.bytes();
  }

 private:
  RmsNorm input_norm_;
  Attention attention_;
  RmsNorm post_norm_;
  GatedMlp mlp_;
};

}  // namespace lmdeploy
