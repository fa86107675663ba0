#include "kernels/cuda/embedding_launch.h"

#include "kernels/cuda/element_type.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_vector.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 128;

// Block (r, c) fills vectors [c * kThreads, (c + 1) * kThreads) of row r.
template <class T, int kSize>
__global__ void embedding_kernel(const __grid_constant__ EmbeddingLaunch lookup) {
  wait_for_previous();
  allow_next();
  const int64_t column = (int64_t{blockIdx.y} * kThreads + threadIdx.x) * kSize;
  if (column >= lookup.size) return;
  const int64_t id = lookup.ids[blockIdx.x * lookup.ids_stride] - lookup.first_id;
  RowVector<T, kSize> vector{};
  if (id >= 0 && id < lookup.table_rows) {
    vector = load_vector<kSize>(static_cast<const T*>(lookup.table) + id * lookup.size + column);
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      vector.elements[i] = from_float<T>(to_float(vector.elements[i]) * lookup.scale);
    }
  }
  store_vector(static_cast<T*>(lookup.out) + blockIdx.x * lookup.out_stride + column, vector);
}

template <class T, int kSize>
cudaError_t launch_size(const EmbeddingLaunch& lookup, cudaStream_t stream) {
  constexpr int64_t kColumns = kThreads * kSize;
  const dim3 grid(static_cast<unsigned>(lookup.rows),
                  static_cast<unsigned>((lookup.size + kColumns - 1) / kColumns));
  return launch(embedding_kernel<T, kSize>, grid, dim3(kThreads), 0, stream, true, lookup);
}

}  // namespace

cudaError_t launch_embedding(const EmbeddingLaunch& lookup, cudaStream_t stream) {
  return for_element_type(lookup.dtype, [&](auto element) {
    using T = decltype(element);
    const bool wide = rows_are_vectors(lookup.table, lookup.size, lookup.size, sizeof(T)) &&
                      rows_are_vectors(lookup.out, lookup.out_stride, lookup.size, sizeof(T));
    return wide ? launch_size<T, Pack<T>::kSize>(lookup, stream)
                : launch_size<T, 1>(lookup, stream);
  });
}

}  // namespace lmdeploy::cuda
