// The norms of kernels/rms_norm.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy::cuda {

// If delta: residual += post_weight ? norm(delta) * post_weight : delta. out = norm(residual) *
// weight. residual, delta and out are f32, f16 or bf16, all one type; sums are fp32. delta and
// post_weight may be empty views.
void rms_norm(Ctx& ctx, const TensorView& residual, const TensorView& delta,
              const TensorView& post_weight, const TensorView& weight, float eps,
              const TensorView& out);

}  // namespace lmdeploy::cuda
