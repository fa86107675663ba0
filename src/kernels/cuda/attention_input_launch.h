// The attention_input kernel as its host code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy::cuda {

struct AttentionInputLaunch {
  void* qkv;                // [rows, (heads + 2 kv_heads) * head_dim], rows qkv_stride apart
  const float* q_norm;      // [head_dim] or nullptr
  const float* k_norm;      // [head_dim] or nullptr
  const float* cos_sin;     // [rows, 2 * rotary_half] or nullptr
  const int64_t* slot_map;  // [rows]
  char* pages;              // of this layer: page 0's K
  int64_t qkv_stride, cos_sin_stride;
  int64_t page_bytes, head_bytes;
  int64_t rows;  // at least 1
  int heads, kv_heads;
  int head_dim;  // 1 .. 256
  int rotary_half;
  int block_tokens;
  float norm_eps;
  bool rotates_vectors;  // the launch's own affair
};
// `dtype` of qkv and the pages: f32, f16 or bf16.
cudaError_t launch_attention_input(DType dtype, const AttentionInputLaunch& args,
                                   cudaStream_t stream);

}  // namespace lmdeploy::cuda
