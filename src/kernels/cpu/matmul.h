// matmul, matmul_gated and gated_mlp on the CPU: activations in the forms that the weight's segments read, then
// panels of all segments shared out to the pool.
#pragma once

#include "kernels/activation.h"
#include "kernels/ctx.h"
#include "kernels/packed_matrix.h"

namespace lmdeploy::cpu {

// Shapes as in kernels/matmul.h, x.dim(0) > 0. add: out += result.
void matmul(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
            const TensorView& out, bool add);

// Shapes as in kernels/matmul_gated.h, x.dim(0) > 0. Gate and up of a strip of columns stay in the
// cache between product and activation; the bits are those of the two ops. False, and nothing done,
// where some panel of w is not full.
bool matmul_gated(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
                  Activation activation, const TensorView& out);

// Shapes as in kernels/gated_mlp.h, x.dim(0) > 0. What lies between the products is rounded to bf16 while
// it is in the cache; the bits are those of matmul_gated and matmul. False, and nothing done, where
// another form than bf16 is multiplied or some panel of gate_up is not full.
bool gated_mlp(Ctx& ctx, const TensorView& x, const PackedMatrix& gate_up, const TensorView& gate_up_bias,
               Activation activation, const PackedMatrix& down, const TensorView& down_bias,
               const TensorView& out, bool add);

}  // namespace lmdeploy::cpu
