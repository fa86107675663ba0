// The latent_input kernel as its host code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy::cuda {

struct LatentInputLaunch {
  void* latent;             // [rows, latent_dim + 2 rotary_half]
  const void* query_rope;   // [rows, heads * 2 rotary_half]
  void* query;              // [rows, heads * (latent_dim + 2 rotary_half)]
  const float* norm;        // [latent_dim]
  const float* cos_sin;     // [rows, 2 rotary_half]
  const int64_t* slot_map;  // [rows]
  char* pages;              // of this layer
  int64_t latent_stride, query_rope_stride, query_stride, cos_sin_stride;
  int64_t page_bytes;
  int64_t rows;  // at least 1
  int heads, latent_dim, rotary_half, block_tokens;
  float norm_eps;
};
// `dtype` of the activations and the pages: f32, f16 or bf16.
cudaError_t launch_latent_input(DType dtype, const LatentInputLaunch& args, cudaStream_t stream);

}  // namespace lmdeploy::cuda
