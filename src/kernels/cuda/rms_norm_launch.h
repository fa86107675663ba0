// The norm kernel as its host code sees it. A .cu file and what it includes hold device code and
// launches alone: nvcc does not take the headers of base/ (fmt).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace lmdeploy::cuda {

// As in kernels/cuda/rms_norm.h. Strides in elements of the launch's type.
struct RmsNormLaunch {
  void* residual;
  const void* delta;         // or nullptr
  const float* post_weight;  // or nullptr
  const float* weight;
  void* out;
  int64_t residual_stride, delta_stride, out_stride;
  int64_t rows;  // at least 1
  int size;
  float eps;
};
cudaError_t launch_rms_norm_f32(const RmsNormLaunch& rows, cudaStream_t stream);
cudaError_t launch_rms_norm_f16(const RmsNormLaunch& rows, cudaStream_t stream);
cudaError_t launch_rms_norm_bf16(const RmsNormLaunch& rows, cudaStream_t stream);

}  // namespace lmdeploy::cuda
