// The row gather as its host code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace lmdeploy::cuda {

struct GatherRowsLaunch {
  const void* x;        // [x_rows], rows of row_bytes, x_stride bytes apart
  const int32_t* rows;  // [out_rows], rows_stride elements apart
  void* out;            // [out_rows], out_stride bytes apart
  int64_t x_stride, rows_stride, out_stride;
  int64_t x_rows, out_rows;  // out_rows at least 1
  int64_t row_bytes;         // a multiple of 2
};
cudaError_t launch_gather_rows(const GatherRowsLaunch& gather, cudaStream_t stream);

}  // namespace lmdeploy::cuda
