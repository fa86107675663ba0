// PreNormLayer: r += attention(norm(r)); r += mlp(norm(r)). Llama's layer, and most others'.
#pragma once

#include <algorithm>

#include "kernels/gather_rows.h"
#include "nn/attention.h"
#include "nn/gated_mlp.h"
#include "nn/norm.h"

namespace lmdeploy {

// Where a layer keeps its parts.
struct PreNormNames {
  const char* input_norm = "input_layernorm";
  const char* attention = "self_attn";
  const char* post_norm = "post_attention_layernorm";
  const char* mlp = "mlp";
};

// Meets the protocol of models/decoder_lm.h. `Mlp` has Mlp(weights, options, config),
// forward(step, x, out, epilogue) and bytes().
template <class NormT, class Mlp, class AttentionT = Attention>
class PreNormLayer {
 public:
  using Norm = NormT;

  template <class AttentionConfigT, class MlpConfig>
  PreNormLayer(const Weights& weights, const BuildOptions& options, const NormConfig& norm,
               const AttentionConfigT& attention, const MlpConfig& mlp, int layer,
               const PreNormNames& names = {})
      : input_norm_(weights / names.input_norm, options, norm),
        attention_(weights / names.attention, options, attention, layer),
        post_norm_(weights / names.post_norm, options, norm),
        mlp_(weights / names.mlp, options, mlp) {}

  const Norm& input_norm() const { return input_norm_; }

  void forward(const Step& step, const TensorView& residual, const TensorView& x,
               const Norm& next) const {
    attention_.forward(step, x, residual, MatmulEpilogue::kAdd);
    forward_mlp(step, residual, x, next);
  }

  // The last layer's: after attention only the tokens of logit_rows go on, into hidden [R, hidden].
  void forward_last(const Step& step, const TensorView& residual, const TensorView& x,
                    const Norm& next, const TensorView& hidden) const {
    attention_.forward(step, x, residual, MatmulEpilogue::kAdd);
    if (hidden.dim(0) == 0) return;
    ArenaScope scope(step.ctx.scratch);
    Step kept = step;
    kept.rows = hidden.dim(0);
    const TensorView kept_residual = kept.activations(residual.dim(1));
    gather_rows(step.ctx, residual, step.batch.logit_rows, kept_residual);
    forward_mlp(kept, kept_residual, hidden, next);
  }

  size_t bytes() const {
    return input_norm_.bytes() + attention_.bytes() + post_norm_.bytes() + mlp_.bytes();
  }
  int64_t step_columns() const {
    return std::max(step_columns_of(attention_), step_columns_of(mlp_));
  }

 private:
  void forward_mlp(const Step& step, const TensorView& residual, const TensorView& x,
                   const Norm& next) const {
    post_norm_.forward(step.ctx, residual, x);
    mlp_.forward(step, x, residual, MatmulEpilogue::kAdd);
    next.forward(step.ctx, residual, x);
  }

  Norm input_norm_;
  AttentionT attention_;
  Norm post_norm_;
  Mlp mlp_;
};

using PreNormBlock = PreNormLayer<RmsNorm, GatedMlp>;

}  // namespace lmdeploy
