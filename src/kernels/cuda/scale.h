// The op of kernels/scale.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy::cuda {

void scale(Ctx& ctx, const TensorView& x, float factor);

}  // namespace lmdeploy::cuda
