// The Hopper prefill kernel as host code sees it.
#pragma once

#include <cuda.h>

#include "kernels/cuda/attention_launch.h"

namespace lmdeploy::cuda {

// As attention_launch.h's prefill, for head_dim up to 128. `kv`: boxes of 64 columns of 32 or 64
// tokens of one head in [pages, K heads then V heads, tokens of a page, head_dim]. Pages before the
// first and columns behind the last read as zeros.
struct AttentionSm90Launch {
  AttentionLaunch args;
  CUtensorMap kv;
  int box_tokens;
};
cudaError_t launch_attention_sm90_f16(const AttentionSm90Launch& launch, cudaStream_t stream);
cudaError_t launch_attention_sm90_bf16(const AttentionSm90Launch& launch, cudaStream_t stream);

constexpr int kMaxAttentionSm90HeadDim = 128;

// Makes the map. cudaErrorNotSupported where the driver cannot.
cudaError_t launch_attention_sm90(DType dtype, const AttentionLaunch& args, cudaStream_t stream);

}  // namespace lmdeploy::cuda
