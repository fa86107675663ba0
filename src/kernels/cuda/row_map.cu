#include "kernels/cuda/element_type.cuh"
#include "kernels/cuda/gated_activation.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_map_launch.h"
#include "kernels/cuda/row_vector.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 256;

template <RowMap kMap>
__device__ __forceinline__ float mapped(float x, float parameter) {
  if constexpr (kMap == RowMap::kScale) return x * parameter;
  if constexpr (kMap == RowMap::kClamp) {  // a NaN stays one
    const float low = x < -parameter ? -parameter : x;
    return low > parameter ? parameter : low;
  }
  if constexpr (kMap == RowMap::kSoftcap) return parameter * tanhf(x / parameter);
  if constexpr (kMap == RowMap::kSilu) return activate<Activation::kSilu>(x);
  if constexpr (kMap == RowMap::kGelu) return activate<Activation::kGelu>(x);
  if constexpr (kMap == RowMap::kGeluTanh) return activate<Activation::kGeluTanh>(x);
}

template <RowMap kMap, class T, int kSize>
__global__ void row_map_kernel(const __grid_constant__ RowMapLaunch rows) {
  wait_for_previous();
  allow_next();
  const int64_t column = (int64_t{blockIdx.y} * kThreads + threadIdx.x) * kSize;
  if (column >= rows.size) return;
  T* x = static_cast<T*>(rows.x) + blockIdx.x * rows.stride + column;
  RowVector<T, kSize> vector = load_vector<kSize>(x);
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    vector.elements[i] =
        from_float<T>(mapped<kMap>(to_float(vector.elements[i]), rows.parameter));
  }
  store_vector(x, vector);
}

template <RowMap kMap, class T, int kSize>
cudaError_t launch_size(const RowMapLaunch& rows, cudaStream_t stream) {
  constexpr int64_t kColumns = kThreads * kSize;
  const dim3 grid(static_cast<unsigned>(rows.rows),
                  static_cast<unsigned>((rows.size + kColumns - 1) / kColumns));
  return launch(row_map_kernel<kMap, T, kSize>, grid, dim3(kThreads), 0, stream, true, rows);
}

template <RowMap kMap>
cudaError_t launch_map(const RowMapLaunch& rows, cudaStream_t stream) {
  return for_element_type(rows.dtype, [&](auto element) {
    using T = decltype(element);
    const bool wide = rows_are_vectors(rows.x, rows.stride, rows.size, sizeof(T));
    return wide ? launch_size<kMap, T, Pack<T>::kSize>(rows, stream)
                : launch_size<kMap, T, 1>(rows, stream);
  });
}

}  // namespace

cudaError_t launch_row_map(const RowMapLaunch& rows, cudaStream_t stream) {
  switch (rows.map) {
    case RowMap::kScale: return launch_map<RowMap::kScale>(rows, stream);
    case RowMap::kClamp: return launch_map<RowMap::kClamp>(rows, stream);
    case RowMap::kSoftcap: return launch_map<RowMap::kSoftcap>(rows, stream);
    case RowMap::kSilu: return launch_map<RowMap::kSilu>(rows, stream);
    case RowMap::kGelu: return launch_map<RowMap::kGelu>(rows, stream);
    case RowMap::kGeluTanh: return launch_map<RowMap::kGeluTanh>(rows, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace lmdeploy::cuda
