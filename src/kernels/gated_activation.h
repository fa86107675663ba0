// Gated MLP activation: out = act(gate) * up.
#pragma once

#include "kernels/activation.h"
#include "kernels/ctx.h"

namespace lmdeploy {

// gate_up f32 [T, 2 I]: gate in columns [0, I), up in [I, 2 I). out f32 [T, I]. (CUDA: both f32, f16
// or bf16.)
void gated_activation(Ctx& ctx, const TensorView& gate_up, Activation activation,
                      const TensorView& out);

}  // namespace lmdeploy
