// logn attention: queries beyond the length that a model was trained with become longer, so that the
// softmax over more keys stays as sharp (models.md 1.5).
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy {

// x[t] *= log(p + 1) / log(length) of the tokens with p + 1 > length, where p = positions[t]: x f32
// [T, N] (CUDA: f32, f16 or bf16), queries after their rotation; positions i32 [T]; length > 1.
void logn_scale(Ctx& ctx, const TensorView& positions, int64_t length, const TensorView& x);

}  // namespace lmdeploy
