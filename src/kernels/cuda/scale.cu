#include "kernels/cuda/scale_launch.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_vector.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 256;

template <int kSize>
__global__ void scale_kernel(const __grid_constant__ ScaleLaunch rows) {
  wait_for_previous();
  allow_next();
  const int64_t column = (int64_t{blockIdx.y} * kThreads + threadIdx.x) * kSize;
  if (column >= rows.size) return;
  float* x = rows.x + blockIdx.x * rows.stride + column;
  RowVector<float, kSize> vector = load_vector<kSize>(x);
#pragma unroll
  for (int i = 0; i < kSize; ++i) vector.elements[i] *= rows.factor;
  store_vector(x, vector);
}

template <int kSize>
cudaError_t launch_size(const ScaleLaunch& rows, cudaStream_t stream) {
  constexpr int64_t kColumns = kThreads * kSize;
  const dim3 grid(static_cast<unsigned>(rows.rows),
                  static_cast<unsigned>((rows.size + kColumns - 1) / kColumns));
  return launch(scale_kernel<kSize>, grid, dim3(kThreads), 0, stream, true, rows);
}

}  // namespace

cudaError_t launch_scale(const ScaleLaunch& rows, cudaStream_t stream) {
  const bool wide = rows_are_vectors(rows.x, rows.stride, rows.size, sizeof(float));
  return wide ? launch_size<4>(rows, stream) : launch_size<1>(rows, stream);
}

}  // namespace lmdeploy::cuda
