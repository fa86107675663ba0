// The scale kernel as its host code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace lmdeploy::cuda {

struct ScaleLaunch {
  float* x;  // [rows, size], rows `stride` elements apart
  int64_t stride;
  int64_t rows;  // at least 1
  int64_t size;  // at least 1
  float factor;
};
cudaError_t launch_scale(const ScaleLaunch& rows, cudaStream_t stream);

}  // namespace lmdeploy::cuda
