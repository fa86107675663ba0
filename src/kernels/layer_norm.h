// Layer norm: y = (x - mean(x)) * rsqrt(mean((x - mean(x))^2) + eps) * w + b, in fp32 (models.md
// 1.2). Activations are f32 (CUDA: f32, f16 or bf16, one type for all; the residual is rounded to it
// before it is normed).
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy {

// x, out [T, H]; weight f32 [H]; bias f32 [H] or empty. out may be x. On CUDA rows of at most 16384.
void layer_norm(Ctx& ctx, const TensorView& x, const TensorView& weight, const TensorView& bias,
                float eps, const TensorView& out);

// residual += delta; out = layer_norm(residual). residual, delta, out [T, H]; delta may be out.
void add_layer_norm(Ctx& ctx, const TensorView& residual, const TensorView& delta,
                    const TensorView& weight, const TensorView& bias, float eps,
                    const TensorView& out);

// Of each head by itself, without bias: x, out [T, heads * head_dim], weight f32 [heads, head_dim].
// out may be x.
void head_layer_norm(Ctx& ctx, const TensorView& x, const TensorView& weight, float eps,
                     const TensorView& out);

}  // namespace lmdeploy
