// The op of kernels/moe_mlp.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/moe_mlp.h"

namespace lmdeploy::cuda {

// T >= 1.
void moe_mlp(Ctx& ctx, const TensorView& x, const TensorView& ids, const TensorView& weights,
             const MoeExperts& experts, const MoeShared& shared, const TensorView& out,
             MatmulEpilogue epilogue);

}  // namespace lmdeploy::cuda
