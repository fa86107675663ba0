#include "models/pre_norm_block.h"

namespace lmdeploy {

PreNormBlock::PreNormBlock(const Weights& weights, const BuildOptions& options,
                           const NormConfig& norm, const AttentionConfig& attention,
                           const GatedMlpConfig& mlp, int layer)
    : input_norm_(weights / "input_layernorm", options, norm),
      attention_(weights / "self_attn", options, attention, layer),
      post_norm_(weights / "post_attention_layernorm", options, norm),
      mlp_(weights / "mlp", options, mlp) {}

void PreNormBlock::forward(const Step& step, const TensorView& residual, const TensorView& x,
                           const RmsNorm& next) const {
  attention_.forward(step, x, residual, MatmulEpilogue::kAdd);
  post_norm_.forward(step.ctx, residual, x);
  mlp_.forward(step, x, residual, MatmulEpilogue::kAdd);
  next.forward(step.ctx, residual, x);
}

}  // namespace lmdeploy
