// Soft cap: keeps values within (-cap, cap) (models.md 1.5).
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy {

// x = cap * tanh(x / cap) in place; x f32 [R, V], cap > 0.
void softcap(Ctx& ctx, const TensorView& x, float cap);

}  // namespace lmdeploy
