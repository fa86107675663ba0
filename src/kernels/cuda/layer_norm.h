// The norms of kernels/layer_norm.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy::cuda {

// If delta: residual += delta. out = norm(residual) * weight + bias, of each of `heads` equal parts
// of a row. residual, delta and out are f32, f16 or bf16, all one type; sums are fp32. delta and
// bias may be empty views.
void layer_norm(Ctx& ctx, const TensorView& residual, const TensorView& delta,
                const TensorView& weight, const TensorView& bias, int64_t heads, float eps,
                const TensorView& out);

}  // namespace lmdeploy::cuda
