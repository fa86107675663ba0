// The gated activation kernel as its host code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/activation.h"
#include "tensor/dtype.h"

namespace lmdeploy::cuda {

struct GatedActivationLaunch {
  DType dtype;  // f32, f16 or bf16
  Activation activation;
  const void* gate_up;  // gate in columns [0, size), up in [size, 2 size)
  void* out;
  int64_t gate_up_stride, out_stride;  // in elements
  int64_t rows;                        // at least 1
  int64_t size;                        // at least 1
};
cudaError_t launch_gated_activation(const GatedActivationLaunch& rows, cudaStream_t stream);

}  // namespace lmdeploy::cuda
