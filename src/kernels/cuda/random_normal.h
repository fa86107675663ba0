// The random values of kernels/random_normal.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/random_normal.h"

namespace lmdeploy::cuda {

void random_normal(Ctx& ctx, const RandomNormal& values, const TensorView& out);

}  // namespace lmdeploy::cuda
