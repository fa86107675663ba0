// RMS norm of rows whose elements the ranks of a tensor-parallel group share: each rank sums its
// squares, the group adds the sums up, and each norms its part. Ranks are on the CPU; so are these.
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy {

// sums[t] = sum of x[t]^2: x f32 [T, N], sums f32 [T, 1].
void sum_of_squares(Ctx& ctx, const TensorView& x, const TensorView& sums);

// x[t] *= rsqrt(sums[t] / count + eps) * weight: x f32 [T, N], sums f32 [T, 1] over the `count`
// elements of all ranks, weight f32 [N].
void scale_by_rms(Ctx& ctx, const TensorView& sums, int64_t count, const TensorView& weight,
                  float eps, const TensorView& x);

}  // namespace lmdeploy
