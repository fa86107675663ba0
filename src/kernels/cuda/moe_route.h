// The op of kernels/moe_route.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/moe_route.h"

namespace lmdeploy::cuda {

void moe_route(Ctx& ctx, const TensorView& logits, const TensorView& correction,
               const MoeRouting& routing, const TensorView& ids, const TensorView& weights);

}  // namespace lmdeploy::cuda
