// matmul: out = x * W^T (+ bias), the linear layer.
#pragma once

#include "kernels/ctx.h"
#include "kernels/packed_matrix.h"

namespace lmdeploy {

enum class MatmulEpilogue : uint8_t {
  kStore,  // out = result
  kAdd,    // out += result (residual stream)
};

// x [T, k] (rows may be strided), W packed [n, k], bias [n] fp32 or empty, out [T, n] (rows may be
// strided). T >= 0. CPU: x and out are fp32. Block formats quantize each row of x to int8 in groups
// of 32 (absmax / 127, round to nearest even), multiply in int32 and scale in fp32; bf16 weights use
// bf16 activations where the processor multiplies those, fp32 otherwise.
// A row's result does not depend on T or on the other rows.
void matmul(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
            const TensorView& out, MatmulEpilogue epilogue = MatmulEpilogue::kStore);

}  // namespace lmdeploy
