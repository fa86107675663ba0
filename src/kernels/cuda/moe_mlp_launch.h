// The kernels of moe_mlp that are no products, as their host code sees them.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/matmul_launch.h"
#include "tensor/dtype.h"

namespace lmdeploy::cuda {

// Sorts (token, choice) pairs by expert, those of an expert in the order of tokens.
struct MoeGroupLaunch {
  const int32_t* ids;  // [pairs], choice by choice of each token
  int32_t* tokens;     // [pairs]: the token of each row
  int32_t* places;     // [pairs]: the row of each pair
  GemmGroup* groups;   // [experts]
  int* totals;         // [2] (kernels/cuda/matmul_launch.h)
  int pairs, top_k, experts, tile_t;
};
cudaError_t launch_moe_group(const MoeGroupLaunch& group, cudaStream_t stream);

// out[t] (+)= the sum over the token's pairs of weight * row, and the shared rows.
struct MoeCombineLaunch {
  DType dtype;
  const void* rows;        // [pairs, size]
  const int32_t* places;   // [tokens, top_k]
  const float* weights;    // [tokens, top_k]
  const void* shared;      // [tokens, size] or nullptr
  const float* gate;       // [tokens, 1] or nullptr
  void* out;               // [tokens, size]
  int64_t shared_stride, gate_stride, out_stride;
  int64_t tokens, size;
  int top_k;
  bool add;
};
cudaError_t launch_moe_combine(const MoeCombineLaunch& combine, cudaStream_t stream);

}  // namespace lmdeploy::cuda
