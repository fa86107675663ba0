// The host side of the Hopper product: tensor maps around a plan.
#pragma once

#include "kernels/cuda/matmul_launch.h"

namespace lmdeploy::cuda {

// Issues x [rows, k] times weights [n, k]^T as `plan` says. dtype is f16 or bf16; pointers and rows
// of x and of the weights are multiples of 16 bytes. With a gate or groups plan.split is 1.
cudaError_t launch_matmul_sm90(const GemmLaunch& gemm, DType dtype, const GemmPlan& plan,
                               int multiprocessors, cudaStream_t stream, const GemmGate& gate = {});

}  // namespace lmdeploy::cuda
