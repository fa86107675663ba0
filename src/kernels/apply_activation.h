// The activation of MLPs without a gate.
#pragma once

#include "kernels/activation.h"
#include "kernels/ctx.h"

namespace lmdeploy {

// x = act(x), x f32 [T, I] (CUDA: f32, f16 or bf16). Not for activations of two inputs.
void apply_activation(Ctx& ctx, const TensorView& x, Activation activation);

}  // namespace lmdeploy
