// The norm kernel as its host code sees it. A .cu file and what it includes hold device code and
// launches alone: nvcc does not take the headers of base/ (fmt).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy::cuda {

constexpr int kMaxRmsNormSize = 16384;

// As in kernels/cuda/rms_norm.h. Strides in elements of `dtype`.
struct RmsNormLaunch {
  DType dtype;  // f32, f16 or bf16
  void* residual;
  const void* delta;         // or nullptr
  const float* post_weight;  // or nullptr
  const float* weight;
  void* out;
  int64_t residual_stride, delta_stride, out_stride;
  int64_t rows;  // at least 1
  int size;      // 1..kMaxRmsNormSize
  float eps;
};
cudaError_t launch_rms_norm(const RmsNormLaunch& rows, cudaStream_t stream);

}  // namespace lmdeploy::cuda
