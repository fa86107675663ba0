// The activation kernel as its host code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/activation.h"
#include "tensor/dtype.h"

namespace lmdeploy::cuda {

struct ApplyActivationLaunch {
  DType dtype;  // f32, f16 or bf16
  Activation activation;
  void* x;         // [rows, size]
  int64_t stride;  // in elements
  int64_t rows;    // at least 1
  int64_t size;    // at least 1
};
cudaError_t launch_apply_activation(const ApplyActivationLaunch& rows, cudaStream_t stream);

}  // namespace lmdeploy::cuda
