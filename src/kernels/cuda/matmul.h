// matmul, matmul_gated and matmul_heads of kernels/ on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/activation.h"
#include "kernels/matmul.h"
#include "kernels/matmul_heads.h"

namespace lmdeploy::cuda {

// As in kernels/matmul.h. The views have been checked.
void matmul(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
            const TensorView& out, MatmulEpilogue epilogue);

// kernels/matmul_gated.h in one kernel. false: none fits, nothing was issued.
bool matmul_gated(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
                  Activation activation, const TensorView& out);

// As in kernels/matmul_heads.h, in one kernel. T >= 1.
void matmul_heads(Ctx& ctx, const TensorView& x, int64_t x_step, const HeadMatrices& w,
                  const TensorView& out, int64_t out_step);

}  // namespace lmdeploy::cuda
