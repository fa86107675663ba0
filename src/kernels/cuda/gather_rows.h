// The op of kernels/gather_rows.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy::cuda {

void gather_rows(Ctx& ctx, const TensorView& x, const TensorView& rows, const TensorView& out);

}  // namespace lmdeploy::cuda
