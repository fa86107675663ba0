// The frequencies' kernel as its host code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace lmdeploy::cuda {

// As in kernels/rope_frequencies.h.
struct RopeFrequenciesLaunch {
  const int32_t* lengths;
  const float* within;
  const float* beyond;  // or nullptr
  float* out;
  int64_t out_stride, sequences, limit;
  int half;
  double factor;
  bool by_doublings;
};
cudaError_t launch_rope_frequencies(const RopeFrequenciesLaunch& rope, cudaStream_t stream);

}  // namespace lmdeploy::cuda
