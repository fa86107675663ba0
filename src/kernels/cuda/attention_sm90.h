// The Hopper prefill kernel as host code sees it.
#pragma once

#include <cuda.h>

#include "kernels/cuda/attention_launch.h"

namespace lmdeploy::cuda {

// Expanded keys and values of latent attention (kernels/expanded_attention.h): a key is kExpandedColumns
// of its head and kExpandedRope that all heads share, a value kExpandedColumns. A query is columns of
// AttentionLaunch::q, whose head_dim is kExpandedColumns, and these; every query head has a KV head.
constexpr int kExpandedColumns = 128, kExpandedRope = 64;
struct ExpandedLaunch {
  const void* q_rope = nullptr;
  int64_t q_rope_stride = 0;
  int q_rope_step = 0;  // from head to head
};

// As attention_launch.h's prefill, for head_dim up to 128. The maps: boxes of 64 columns of up to 64
// tokens of one head in [pages, heads, tokens of a page, head_dim]; where they are expanded, the rows
// of the step are the one page, and `rope` has one head. Of latents `keys` alone, in boxes of 64 columns
// and `queries`, in boxes of 64 rows of [1, 1, heads of all tokens, head_dim]. Pages before the first and columns behind
// the last read as zeros.
struct AttentionSm90Launch {
  AttentionLaunch args;
  ExpandedLaunch expanded;
  CUtensorMap keys, values, rope, queries;
  int box_tokens;
};
cudaError_t launch_attention_sm90_f16(const AttentionSm90Launch& launch, cudaStream_t stream);
cudaError_t launch_attention_sm90_bf16(const AttentionSm90Launch& launch, cudaStream_t stream);
cudaError_t launch_expanded_sm90_f16(const AttentionSm90Launch& launch, cudaStream_t stream);
cudaError_t launch_expanded_sm90_bf16(const AttentionSm90Launch& launch, cudaStream_t stream);
cudaError_t launch_latent_sm90_f16(const AttentionSm90Launch& launch, cudaStream_t stream);
cudaError_t launch_latent_sm90_bf16(const AttentionSm90Launch& launch, cudaStream_t stream);

constexpr int kMaxAttentionSm90HeadDim = 128;

// Makes the maps. cudaErrorNotSupported where the driver cannot.
cudaError_t launch_attention_sm90(DType dtype, const AttentionLaunch& args, cudaStream_t stream);

// As attention_launch.h's latent kernel, without `partial`; rows of q have no gaps. It pays for many
// rows: a tile of 64 has a block of its own.
cudaError_t launch_latent_sm90(DType dtype, const AttentionLaunch& args, cudaStream_t stream);

// Rows of the step; strides in elements, heads `step` elements behind one another.
struct ExpandedRows {
  const void* keys;
  const void* values;
  const void* rope;
  int64_t key_stride, value_stride, rope_stride;
  int key_step, value_step;
};
cudaError_t launch_expanded_sm90(DType dtype, const AttentionLaunch& args,
                                 const ExpandedLaunch& expanded, const ExpandedRows& rows,
                                 cudaStream_t stream);

}  // namespace lmdeploy::cuda
