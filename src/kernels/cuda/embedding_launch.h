// The embedding kernel as its host code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy::cuda {

struct EmbeddingLaunch {
  DType dtype;         // of table and out: f32, f16 or bf16
  const int32_t* ids;  // [rows]
  const void* table;   // [table_rows, size]
  void* out;           // [rows, size], rows out_stride elements apart
  int64_t ids_stride, out_stride;
  int64_t rows;  // at least 1
  int64_t first_id;  // that of the table's first row
  int64_t table_rows;
  int64_t size;  // at least 1
  float scale;
};
cudaError_t launch_embedding(const EmbeddingLaunch& lookup, cudaStream_t stream);

}  // namespace lmdeploy::cuda
