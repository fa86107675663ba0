// ParallelLayer: x = norm(r); r += attention(x) + mlp(x). Phi-2, Falcon 7B, Cohere, some StableLM.
#pragma once

#include "nn/attention.h"
#include "nn/norm.h"

namespace lmdeploy {

// Meets the protocol of models/decoder_lm.h. `Mlp` as in models/pre_norm_block.h.
template <class NormT, class Mlp>
class ParallelLayer {
 public:
  using Norm = NormT;

  // Reads input_layernorm, `attention_name` and mlp under `weights`.
  template <class MlpConfig>
  ParallelLayer(const Weights& weights, const BuildOptions& options, const NormConfig& norm,
                const AttentionConfig& attention, const MlpConfig& mlp, int layer,
                const char* attention_name = "self_attn")
      : input_norm_(weights / "input_layernorm", options, norm),
        attention_(weights / attention_name, options, attention, layer),
        mlp_(weights / "mlp", options, mlp) {}

  const Norm& input_norm() const { return input_norm_; }

  void forward(const Step& step, const TensorView& residual, const TensorView& x,
               const Norm& next) const {
    attention_.forward(step, x, residual, MatmulEpilogue::kAdd);
    mlp_.forward(step, x, residual, MatmulEpilogue::kAdd);
    next.forward(step.ctx, residual, x);
  }

  size_t bytes() const { return input_norm_.bytes() + attention_.bytes() + mlp_.bytes(); }

 private:
  Norm input_norm_;
  Attention attention_;
  Mlp mlp_;
};

}  // namespace lmdeploy
