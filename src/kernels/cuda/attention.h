// The ops of kernels/attention.h and expanded_attention.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/expanded_attention.h"

namespace lmdeploy::cuda {

// q, out and the pages are f32, f16 or bf16, all one type; scores and sums are fp32. Lengths are
// read on the device: those of `batch` are upper bounds. A sequence without context gets rows of
// zeros.
void paged_attention(Ctx& ctx, const TensorView& q, const PagedKv& kv, const AttentionBatch& batch,
                     const AttentionParams& params, const TensorView& out);

bool can_expand_attention(const Stream& stream, DType dtype, const ExpandedDims& dims);
void expanded_attention(Ctx& ctx, const ExpandedInputs& in, const AttentionBatch& batch,
                        const ExpandedParams& params, const TensorView& out);

}  // namespace lmdeploy::cuda
