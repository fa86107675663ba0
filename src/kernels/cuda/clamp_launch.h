// The clamp kernel as its host code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy::cuda {

struct ClampLaunch {
  DType dtype;
  void* x;  // [rows, size], rows `stride` elements apart
  int64_t stride;
  int64_t rows, size;  // at least 1
  float limit;
};
cudaError_t launch_clamp(const ClampLaunch& rows, cudaStream_t stream);

}  // namespace lmdeploy::cuda
