#include "kernels/cuda/apply_activation_launch.h"

#include "kernels/cuda/element_type.cuh"
#include "kernels/cuda/gated_activation.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_vector.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 256;

template <Activation kActivation, class T, int kSize>
__global__ void apply_activation_kernel(const __grid_constant__ ApplyActivationLaunch rows) {
  wait_for_previous();
  allow_next();
  const int64_t column = (int64_t{blockIdx.y} * kThreads + threadIdx.x) * kSize;
  if (column >= rows.size) return;
  T* x = static_cast<T*>(rows.x) + blockIdx.x * rows.stride + column;
  RowVector<T, kSize> vector = load_vector<kSize>(x);
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    vector.elements[i] = from_float<T>(activate<kActivation>(to_float(vector.elements[i])));
  }
  store_vector(x, vector);
}

template <Activation kActivation, class T, int kSize>
cudaError_t launch_kernel(const ApplyActivationLaunch& rows, cudaStream_t stream) {
  constexpr int64_t kColumns = kThreads * kSize;
  const dim3 grid(static_cast<unsigned>(rows.rows),
                  static_cast<unsigned>((rows.size + kColumns - 1) / kColumns));
  return launch(apply_activation_kernel<kActivation, T, kSize>, grid, dim3(kThreads), 0, stream,
                true, rows);
}

template <class T, int kSize>
cudaError_t launch_size(const ApplyActivationLaunch& rows, cudaStream_t stream) {
  switch (rows.activation) {
    case Activation::kSilu: return launch_kernel<Activation::kSilu, T, kSize>(rows, stream);
    case Activation::kGelu: return launch_kernel<Activation::kGelu, T, kSize>(rows, stream);
    case Activation::kGeluTanh: return launch_kernel<Activation::kGeluTanh, T, kSize>(rows, stream);
    default: return cudaErrorInvalidValue;  // refused by the op
  }
}

}  // namespace

cudaError_t launch_apply_activation(const ApplyActivationLaunch& rows, cudaStream_t stream) {
  return for_element_type(rows.dtype, [&](auto element) {
    using T = decltype(element);
    const bool wide = rows_are_vectors(rows.x, rows.stride, rows.size, sizeof(T));
    return wide ? launch_size<T, Pack<T>::kSize>(rows, stream) : launch_size<T, 1>(rows, stream);
  });
}

}  // namespace lmdeploy::cuda
