// The op of kernels/gated_activation.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/activation.h"
#include "kernels/ctx.h"

namespace lmdeploy::cuda {

void gated_activation(Ctx& ctx, const TensorView& gate_up, Activation activation,
                      const TensorView& out);

}  // namespace lmdeploy::cuda
