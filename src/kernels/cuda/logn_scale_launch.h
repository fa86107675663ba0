// The logn kernel as its host code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy::cuda {

struct LognScaleLaunch {
  DType dtype;  // f32, f16 or bf16
  const int32_t* positions;  // [rows]
  int64_t length;
  double inverse_log;  // 1 / log(length)
  void* x;             // [rows, size]
  int64_t stride;      // in elements
  int64_t rows;        // at least 1
  int64_t size;        // at least 1
};
cudaError_t launch_logn_scale(const LognScaleLaunch& rows, cudaStream_t stream);

}  // namespace lmdeploy::cuda
