// Multiplication by a number.
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy {

// x *= factor, x f32 [T, N] on every device (logits).
void scale(Ctx& ctx, const TensorView& x, float factor);

}  // namespace lmdeploy
