// gated_mlp: out = (act(x Wg^T + bg) * (x Wu^T + bu)) Wd^T + bd, a gated MLP.
#pragma once

#include "kernels/activation.h"
#include "kernels/matmul.h"

namespace lmdeploy {

// It is matmul_gated of gate_up (packed [2 I, k]) and matmul of down (packed [n, I]), with their shapes,
// biases and bits, and what lies between in ctx.scratch. x [T, k], out [T, n]. T >= 0.
void gated_mlp(Ctx& ctx, const TensorView& x, const PackedMatrix& gate_up, const TensorView& gate_up_bias,
               Activation activation, const PackedMatrix& down, const TensorView& down_bias,
               const TensorView& out, MatmulEpilogue epilogue = MatmulEpilogue::kStore);

}  // namespace lmdeploy
