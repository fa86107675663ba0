#include "kernels/cuda/element_type.cuh"
#include "kernels/cuda/gated_activation.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/moe_mlp_launch.h"
#include "kernels/cuda/row_vector.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 128;

template <class T, int kSize>
__device__ void add_scaled(const T* row, float factor, float (&sums)[kSize]) {
  const RowVector<T, kSize> values = load_vector<kSize>(row);
#pragma unroll
  for (int i = 0; i < kSize; ++i) sums[i] += factor * to_float(values.elements[i]);
}

template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    moe_combine_kernel(const __grid_constant__ MoeCombineLaunch combine) {
  const int64_t token = blockIdx.x;
  const int64_t column = (int64_t{blockIdx.y} * kThreads + threadIdx.x) * kSize;
  wait_for_previous();
  allow_next();
  if (column >= combine.size) return;
  float sums[kSize] = {};
  for (int k = 0; k < combine.top_k; ++k) {
    const int64_t pair = token * combine.top_k + k;
    const T* row = static_cast<const T*>(combine.rows) + combine.places[pair] * combine.size;
    add_scaled<T, kSize>(row + column, combine.weights[pair], sums);
  }
  if (combine.shared != nullptr) {
    const float factor =
        combine.gate == nullptr ? 1.0f : sigmoid(combine.gate[token * combine.gate_stride]);
    const T* row = static_cast<const T*>(combine.shared) + token * combine.shared_stride;
    add_scaled<T, kSize>(row + column, factor, sums);
  }
  T* out = static_cast<T*>(combine.out) + token * combine.out_stride + column;
  if (combine.add) add_scaled<T, kSize>(out, 1.0f, sums);
  RowVector<T, kSize> rounded;
#pragma unroll
  for (int i = 0; i < kSize; ++i) rounded.elements[i] = from_float<T>(sums[i]);
  store_vector(out, rounded);
}

template <class T, int kSize>
cudaError_t launch_size(const MoeCombineLaunch& combine, cudaStream_t stream) {
  constexpr int64_t kColumns = kThreads * kSize;
  const dim3 grid(static_cast<unsigned>(combine.tokens),
                  static_cast<unsigned>((combine.size + kColumns - 1) / kColumns));
  return launch(moe_combine_kernel<T, kSize>, grid, dim3(kThreads), 0, stream, true, combine);
}

}  // namespace

cudaError_t launch_moe_combine(const MoeCombineLaunch& combine, cudaStream_t stream) {
  return for_element_type(combine.dtype, [&](auto element) {
    using T = decltype(element);
    const auto whole = [&](const void* p, int64_t stride) {
      return rows_are_vectors(p, stride, combine.size, sizeof(T));
    };
    const bool wide = whole(combine.rows, combine.size) && whole(combine.out, combine.out_stride) &&
                      whole(combine.shared, combine.shared_stride);
    return wide ? launch_size<T, Pack<T>::kSize>(combine, stream)
                : launch_size<T, 1>(combine, stream);
  });
}

}  // namespace lmdeploy::cuda
