// matmul of kernels/matmul.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/matmul.h"

namespace lmdeploy::cuda {

// As in kernels/matmul.h. The views have been checked.
void matmul(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
            const TensorView& out, MatmulEpilogue epilogue);

}  // namespace lmdeploy::cuda
