// matmul and matmul_gated of kernels/ on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/activation.h"
#include "kernels/matmul.h"

namespace lmdeploy::cuda {

// As in kernels/matmul.h. The views have been checked.
void matmul(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
            const TensorView& out, MatmulEpilogue epilogue);

// kernels/matmul_gated.h in one kernel. false: none fits, nothing was issued.
bool matmul_gated(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
                  Activation activation, const TensorView& out);

}  // namespace lmdeploy::cuda
