// The op of kernels/softcap.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy::cuda {

void softcap(Ctx& ctx, const TensorView& x, float cap);

}  // namespace lmdeploy::cuda
