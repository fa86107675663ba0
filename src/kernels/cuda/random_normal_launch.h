// The random values as their host code sees the kernel.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy::cuda {

// As in kernels/random_normal.h. The stride in elements of `dtype`.
struct RandomNormalLaunch {
  DType dtype;
  void* out;
  int64_t out_stride, rows, columns;
  uint64_t key;
  int64_t first, row_elements;
  float mean, stddev;
};
cudaError_t launch_random_normal(const RandomNormalLaunch& values, cudaStream_t stream);

}  // namespace lmdeploy::cuda
