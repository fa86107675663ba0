// The frequencies of kernels/rope_frequencies.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/rope_frequencies.h"

namespace lmdeploy::cuda {

void rope_frequencies(Ctx& ctx, const TensorView& lengths, const RopeByLength& rope,
                      const TensorView& out);

}  // namespace lmdeploy::cuda
