// The ops that map the elements of rows in place (kernels/scale.h, clamp.h, softcap.h,
// apply_activation.h) on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/activation.h"
#include "kernels/ctx.h"

namespace lmdeploy::cuda {

void scale(Ctx& ctx, const TensorView& x, float factor);
void clamp(Ctx& ctx, const TensorView& x, float limit);
void softcap(Ctx& ctx, const TensorView& x, float cap);
void apply_activation(Ctx& ctx, const TensorView& x, Activation activation);

}  // namespace lmdeploy::cuda
