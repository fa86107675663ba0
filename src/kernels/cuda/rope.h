// The table of kernels/rope.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy::cuda {

void rope_cos_sin(Ctx& ctx, const TensorView& positions, const TensorView& inv_freq,
                  const TensorView& freq_row, float attention_scale, const TensorView& cos_sin);

}  // namespace lmdeploy::cuda
