// The op of kernels/clamp.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy::cuda {

void clamp(Ctx& ctx, const TensorView& x, float limit);

}  // namespace lmdeploy::cuda
