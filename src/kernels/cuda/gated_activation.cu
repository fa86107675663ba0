#include "kernels/cuda/gated_activation_launch.h"

#include "kernels/cuda/element_type.cuh"
#include "kernels/cuda/gated_activation.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_vector.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 128;
constexpr int kSteps = 2;  // vectors of a thread

template <Activation kActivation, class T, int kSize>
__global__ void gated_activation_kernel(const __grid_constant__ GatedActivationLaunch rows) {
  wait_for_previous();
  allow_next();
  const T* gate = static_cast<const T*>(rows.gate_up) + blockIdx.x * rows.gate_up_stride;
  T* out = static_cast<T*>(rows.out) + blockIdx.x * rows.out_stride;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const int64_t column = ((int64_t{blockIdx.y} * kSteps + step) * kThreads + threadIdx.x) * kSize;
    if (column >= rows.size) return;
    RowVector<T, kSize> gates = load_vector<kSize>(gate + column);
    const RowVector<T, kSize> ups = load_vector<kSize>(gate + rows.size + column);
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      gates.elements[i] = from_float<T>(
          gated<kActivation>(to_float(gates.elements[i]), to_float(ups.elements[i])));
    }
    store_vector(out + column, gates);
  }
}

template <Activation kActivation, class T, int kSize>
cudaError_t launch_kernel(const GatedActivationLaunch& rows, cudaStream_t stream) {
  constexpr int64_t kColumns = kThreads * kSteps * kSize;
  const dim3 grid(static_cast<unsigned>(rows.rows),
                  static_cast<unsigned>((rows.size + kColumns - 1) / kColumns));
  return launch(gated_activation_kernel<kActivation, T, kSize>, grid, dim3(kThreads), 0, stream,
                true, rows);
}

template <class T, int kSize>
cudaError_t launch_size(const GatedActivationLaunch& rows, cudaStream_t stream) {
  switch (rows.activation) {
    case Activation::kSilu: return launch_kernel<Activation::kSilu, T, kSize>(rows, stream);
    case Activation::kGelu: return launch_kernel<Activation::kGelu, T, kSize>(rows, stream);
    case Activation::kGeluTanh: return launch_kernel<Activation::kGeluTanh, T, kSize>(rows, stream);
    case Activation::kClampedSwiglu:
      return launch_kernel<Activation::kClampedSwiglu, T, kSize>(rows, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t launch_gated_activation(const GatedActivationLaunch& rows, cudaStream_t stream) {
  return for_element_type(rows.dtype, [&](auto element) {
    using T = decltype(element);
    const bool wide = rows_are_vectors(rows.gate_up, rows.gate_up_stride, rows.size, sizeof(T)) &&
                      rows_are_vectors(rows.out, rows.out_stride, rows.size, sizeof(T));
    return wide ? launch_size<T, Pack<T>::kSize>(rows, stream) : launch_size<T, 1>(rows, stream);
  });
}

}  // namespace lmdeploy::cuda
