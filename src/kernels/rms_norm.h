// RMS norm: y = x * rsqrt(mean(x^2) + eps) * w, in fp32 (models.md 1.2). Gemma's (1 + w) is folded
// into w when it is loaded. Activations are f32 (CUDA: f32, f16 or bf16, one type for all; rows of
// at most 16384; the residual is rounded to it before it is normed).
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy {

// x, out [T, H]; weight f32 [H]. out may be x.
void rms_norm(Ctx& ctx, const TensorView& x, const TensorView& weight, float eps,
              const TensorView& out);

// residual += delta; out = rms_norm(residual). residual, delta, out [T, H]; delta may be out.
void add_rms_norm(Ctx& ctx, const TensorView& residual, const TensorView& delta,
                  const TensorView& weight, float eps, const TensorView& out);

// Norms each sublayer output before the residual add (Gemma 2/3): residual += rms_norm(delta,
// post_weight); out = rms_norm(residual, weight).
void sandwich_rms_norm(Ctx& ctx, const TensorView& residual, const TensorView& delta,
                       const TensorView& post_weight, const TensorView& weight, float eps,
                       const TensorView& out);

}  // namespace lmdeploy
