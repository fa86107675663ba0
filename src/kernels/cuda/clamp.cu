#include "kernels/cuda/clamp_launch.h"
#include "kernels/cuda/element_type.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_vector.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 256;

template <class T, int kSize>
__global__ void clamp_kernel(const __grid_constant__ ClampLaunch rows) {
  wait_for_previous();
  allow_next();
  const int64_t column = (int64_t{blockIdx.y} * kThreads + threadIdx.x) * kSize;
  if (column >= rows.size) return;
  T* x = static_cast<T*>(rows.x) + blockIdx.x * rows.stride + column;
  RowVector<T, kSize> vector = load_vector<kSize>(x);
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    const float value = to_float(vector.elements[i]);
    const float low = value < -rows.limit ? -rows.limit : value;
    vector.elements[i] = from_float<T>(low > rows.limit ? rows.limit : low);
  }
  store_vector(x, vector);
}

template <class T, int kSize>
cudaError_t launch_size(const ClampLaunch& rows, cudaStream_t stream) {
  constexpr int64_t kColumns = kThreads * kSize;
  const dim3 grid(static_cast<unsigned>(rows.rows),
                  static_cast<unsigned>((rows.size + kColumns - 1) / kColumns));
  return launch(clamp_kernel<T, kSize>, grid, dim3(kThreads), 0, stream, true, rows);
}

}  // namespace

cudaError_t launch_clamp(const ClampLaunch& rows, cudaStream_t stream) {
  return for_element_type(rows.dtype, [&](auto element) {
    using T = decltype(element);
    const bool wide = rows_are_vectors(rows.x, rows.stride, rows.size, sizeof(T));
    return wide ? launch_size<T, Pack<T>::kSize>(rows, stream) : launch_size<T, 1>(rows, stream);
  });
}

}  // namespace lmdeploy::cuda
