// The kernel that maps the elements of rows in place, as its host code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy::cuda {

// With y = RowMapLaunch::parameter:
enum class RowMap : uint8_t {
  kScale,    // x * y
  kClamp,    // min(max(x, -y), y)
  kSoftcap,  // y * tanh(x / y)
  kSilu,
  kGelu,
  kGeluTanh,
};

struct RowMapLaunch {
  DType dtype;  // f32, f16 or bf16
  RowMap map;
  float parameter;
  void* x;         // [rows, size]
  int64_t stride;  // in elements
  int64_t rows;    // at least 1
  int64_t size;    // at least 1
};
cudaError_t launch_row_map(const RowMapLaunch& rows, cudaStream_t stream);

}  // namespace lmdeploy::cuda
