// The op of kernels/apply_activation.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/activation.h"
#include "kernels/ctx.h"

namespace lmdeploy::cuda {

void apply_activation(Ctx& ctx, const TensorView& x, Activation activation);

}  // namespace lmdeploy::cuda
