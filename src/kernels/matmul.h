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
// strided). T >= 0.
//
// CPU: x and out are fp32. Block formats quantize each row of x to int8 in groups of 32 (absmax /
// 127, round to nearest even), multiply in int32 and scale in fp32; plain formats multiply in fp32,
// bf16 weights with x rounded to bf16. A row's result does not depend on T, on the other rows or on
// the number of threads, and for block formats not on the instruction set either, to the bit.
// But where the processor has AMX and ctx.batch_invariant is false, 12 rows and more round the weights
// of block formats and x to bf16 (docs/adr/0002-many-rows-are-bf16-on-amx.md): closer to the exact
// product, faster, and not the bits of fewer rows.
//
// CUDA: x is of W's format (f32, f16 or bf16), out of that or fp32; sums are fp32 and rounded once,
// after bias and residual. A row's result depends on T unless ctx.batch_invariant; it is the same in
// every run.
void matmul(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
            const TensorView& out, MatmulEpilogue epilogue = MatmulEpilogue::kStore);

}  // namespace lmdeploy
