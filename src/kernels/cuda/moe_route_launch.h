// The kernel of moe_route as its host code sees it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace lmdeploy::cuda {

struct MoeRouteLaunch {
  const float* logits;      // [tokens, experts], rows logits_stride apart
  const float* correction;  // [experts] or nullptr
  int32_t* ids;             // [tokens, top_k], rows ids_stride apart
  float* weights;
  int64_t logits_stride, ids_stride, weights_stride;
  int64_t tokens;
  int experts, top_k;
  int groups, kept_groups;
  float scale;
  bool sigmoid, renormalize, group_by_two;
};

cudaError_t launch_moe_route(const MoeRouteLaunch& route, cudaStream_t stream);

}  // namespace lmdeploy::cuda
