// Bounds on activations.
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy {

// x = min(max(x, -limit), limit), x f32 [T, N] (rows may be strided; CUDA: f32, f16 or bf16); limit
// > 0. A NaN stays one.
void clamp(Ctx& ctx, const TensorView& x, float limit);

}  // namespace lmdeploy
