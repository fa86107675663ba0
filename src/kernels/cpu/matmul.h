// matmul and matmul_gated on the CPU: activations in the forms that the weight's segments read, then
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

}  // namespace lmdeploy::cpu
