#include "kernels/cuda/element_type.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/numeric.cuh"
#include "kernels/cuda/random.cuh"
#include "kernels/cuda/random_normal_launch.h"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 256;

// Element by element over rows * columns.
template <class T>
__global__ void random_normal_kernel(const __grid_constant__ RandomNormalLaunch values) {
  wait_for_previous();
  allow_next();
  const uint64_t key = mix64(values.key);
  const int64_t count = values.rows * values.columns;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * kThreads) {
    const int64_t row = i / values.columns, column = i % values.columns;
    const uint64_t counter =
        static_cast<uint64_t>(values.first + row * values.row_elements + column);
    const double u = uniform_from_bits(mix64(key ^ (2 * counter)));
    const double v = uniform_from_bits(mix64(key ^ (2 * counter + 1)));
    const double normal = sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v);
    const double value = double{values.mean} + double{values.stddev} * normal;
    static_cast<T*>(values.out)[row * values.out_stride + column] =
        from_float<T>(static_cast<float>(value));
  }
}

}  // namespace

cudaError_t launch_random_normal(const RandomNormalLaunch& values, cudaStream_t stream) {
  constexpr int64_t kMaxBlocks = 132 * 8 * 4;
  const int64_t blocks = (values.rows * values.columns + kThreads - 1) / kThreads;
  const dim3 grid(static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks));
  return for_element_type(values.dtype, [&](auto element) {
    return launch(random_normal_kernel<decltype(element)>, grid, dim3(kThreads), 0, stream, true,
                  values);
  });
}

}  // namespace lmdeploy::cuda
