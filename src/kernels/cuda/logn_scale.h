// The op of kernels/logn_scale.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy::cuda {

void logn_scale(Ctx& ctx, const TensorView& positions, int64_t length, const TensorView& x);

}  // namespace lmdeploy::cuda
