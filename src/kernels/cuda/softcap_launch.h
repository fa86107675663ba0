// The soft cap kernel as its host code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace lmdeploy::cuda {

struct SoftcapLaunch {
  float* x;  // [rows, size], rows `stride` elements apart
  int64_t stride;
  int64_t rows;  // at least 1
  int64_t size;  // at least 1
  float cap;
};
cudaError_t launch_softcap(const SoftcapLaunch& rows, cudaStream_t stream);

}  // namespace lmdeploy::cuda
