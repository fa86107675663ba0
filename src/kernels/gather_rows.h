// Selects rows: the hidden states that want logits.
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy {

// out[r] = x[rows[r]]; x f32 [T, H] (rows may be strided), rows i32 [R] within [0, T), out f32 [R,
// H]. (CUDA: x and out f32, f16 or bf16; a row outside [0, T) gives zeros.)
void gather_rows(Ctx& ctx, const TensorView& x, const TensorView& rows, const TensorView& out);

}  // namespace lmdeploy
