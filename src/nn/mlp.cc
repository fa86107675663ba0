#include "nn/mlp.h"

#include "kernels/apply_activation.h"

namespace lmdeploy {

Mlp::Mlp(const Weights& weights, const BuildOptions& options, const MlpConfig& config)
    : activation_(config.activation),
      up_(weights, options, config.hidden, {{config.up, config.intermediate}}, Split::kRows,
          config.bias),
      down_(weights, options, config.intermediate, {{config.down, config.hidden}}, Split::kColumns,
            config.bias) {}

void Mlp::forward(const Step& step, const TensorView& x, const TensorView& out,
                  MatmulEpilogue epilogue) const {
  ArenaScope scope(step.ctx.scratch);
  const TensorView inner = step.activations(down_.in());
  up_.forward(step.ctx, x, inner);
  apply_activation(step.ctx, inner, activation_);
  down_.forward(step.ctx, inner, out, epilogue);
}

}  // namespace lmdeploy
