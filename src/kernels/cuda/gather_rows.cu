#include "kernels/cuda/gather_rows_launch.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_vector.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 128;

// Unit: 16 or 2 bytes.
template <class Unit>
__global__ void gather_rows_kernel(const __grid_constant__ GatherRowsLaunch gather) {
  wait_for_previous();
  allow_next();
  const int64_t i = int64_t{blockIdx.y} * kThreads + threadIdx.x;
  if (i * static_cast<int64_t>(sizeof(Unit)) >= gather.row_bytes) return;
  const int64_t source = gather.rows[blockIdx.x * gather.rows_stride];
  Unit unit{};
  if (source >= 0 && source < gather.x_rows) {
    unit = reinterpret_cast<const Unit*>(static_cast<const char*>(gather.x) +
                                         source * gather.x_stride)[i];
  }
  reinterpret_cast<Unit*>(static_cast<char*>(gather.out) + blockIdx.x * gather.out_stride)[i] =
      unit;
}

template <class Unit>
cudaError_t launch_unit(const GatherRowsLaunch& gather, cudaStream_t stream) {
  constexpr int64_t kBytes = kThreads * sizeof(Unit);
  const dim3 grid(static_cast<unsigned>(gather.out_rows),
                  static_cast<unsigned>((gather.row_bytes + kBytes - 1) / kBytes));
  return launch(gather_rows_kernel<Unit>, grid, dim3(kThreads), 0, stream, true, gather);
}

}  // namespace

cudaError_t launch_gather_rows(const GatherRowsLaunch& gather, cudaStream_t stream) {
  const bool wide = rows_are_vectors(gather.x, gather.x_stride, gather.row_bytes, 1) &&
                    rows_are_vectors(gather.out, gather.out_stride, gather.row_bytes, 1);
  return wide ? launch_unit<uint4>(gather, stream) : launch_unit<uint16_t>(gather, stream);
}

}  // namespace lmdeploy::cuda
