// The layer norm kernel as its host code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy::cuda {

constexpr int kMaxLayerNormSize = 16384;

// As in kernels/cuda/layer_norm.h. Strides in elements of `dtype`.
struct LayerNormLaunch {
  DType dtype;  // f32, f16 or bf16
  void* residual;
  const void* delta;    // or nullptr
  const float* weight;  // [heads * size]
  const float* bias;    // [heads * size] or nullptr
  void* out;
  int64_t residual_stride, delta_stride, out_stride;
  int64_t tokens;  // at least 1
  int heads;       // at least 1
  int size;        // of a head: 1..kMaxLayerNormSize
  float eps;
};
cudaError_t launch_layer_norm(const LayerNormLaunch& rows, cudaStream_t stream);

}  // namespace lmdeploy::cuda
