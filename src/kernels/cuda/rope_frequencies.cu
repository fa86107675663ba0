#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/rope_frequencies_launch.h"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 64;

__device__ double stretch_of(const RopeFrequenciesLaunch& rope, int64_t length) {
  if (!rope.by_doublings) {
    return rope.factor * static_cast<double>(length) / static_cast<double>(rope.limit) -
           (rope.factor - 1.0);
  }
  int64_t reached = rope.limit;
  double power = 2.0;
  for (; reached < length; reached *= 2) power *= 2.0;
  return power - 1.0;
}

__global__ void rope_frequencies_kernel(const __grid_constant__ RopeFrequenciesLaunch rope) {
  wait_for_previous();
  allow_next();
  const int64_t length = rope.lengths[blockIdx.x];
  float* out = rope.out + blockIdx.x * rope.out_stride;
  const double stretch = stretch_of(rope, length);
  for (int i = static_cast<int>(threadIdx.x); i < rope.half; i += kThreads) {
    if (length <= rope.limit) {
      out[i] = rope.within[i];
    } else if (rope.beyond != nullptr) {
      out[i] = rope.beyond[i];
    } else {
      const double exponent = -static_cast<double>(i) / static_cast<double>(rope.half - 1);
      out[i] = static_cast<float>(double{rope.within[i]} * pow(stretch, exponent));
    }
  }
}

}  // namespace

cudaError_t launch_rope_frequencies(const RopeFrequenciesLaunch& rope, cudaStream_t stream) {
  return launch(rope_frequencies_kernel, dim3(static_cast<unsigned>(rope.sequences)),
                dim3(kThreads), 0, stream, true, rope);
}

}  // namespace lmdeploy::cuda
