// The rope table kernel as its host code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace lmdeploy::cuda {

struct RopeCosSinLaunch {
  const int32_t* positions;  // [rows]
  const float* inv_freq;     // [F, half], rows inv_freq_stride apart
  const int32_t* freq_row;   // [rows], or nullptr: row 0
  float* cos_sin;            // [rows, 2 half], rows cos_sin_stride apart
  int64_t inv_freq_stride, cos_sin_stride;
  int64_t rows;  // at least 1
  int half;      // at least 1
  float attention_scale;
};
cudaError_t launch_rope_cos_sin(const RopeCosSinLaunch& table, cudaStream_t stream);

}  // namespace lmdeploy::cuda
