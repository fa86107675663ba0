// expanded_attention: latent attention (MLA) of prompts whose context is all in this step, over keys and
// values of every head instead of latents: a (query, key) pair costs nope + rope + value columns where
// latents cost twice the latent's and the rope's, 3.4 times as many for DeepSeek V2 and V3.
#pragma once

#include "kernels/attention.h"

namespace lmdeploy {

// Columns of a head: of its key without rotation and of its value; of the rotated key of all heads.
struct ExpandedDims {
  int nope = 0, rope = 0, value = 0;
};

// Rows of the step's tokens, of one type; rows may be strided.
struct ExpandedInputs {
  TensorView q_nope;  // [T, heads * nope]
  // Head h's rotated part is columns [h * rope_step, + rope).
  TensorView q_rope;  // [T, (heads - 1) * rope_step + rope] at least
  int64_t rope_step = 0;
  TensorView keys;    // [T, heads * nope]
  TensorView k_rope;  // [T, rope]
  TensorView values;  // [T, heads * value]
};

struct ExpandedParams {
  int heads = 0;
  ExpandedDims dims;
  float scale = 0;  // multiplies q.k
};

// Whole prompts of fewer query tokens are left to paged_attention.
constexpr int kLeastExpandedQueries = 9;

// Whether expanded_attention of such heads is fast on the stream's device.
bool can_expand_attention(const Stream& stream, DType dtype, const ExpandedDims& dims);

// Rows of sequences that have as many query tokens as context, and at least kLeastExpandedQueries,
// come to out [T, heads * value]; other rows of it are left alone. paged_attention with
// leaves_whole_prompts has those. Query t of such a sequence sees its tokens 0 .. t. All f32 (CUDA:
// f16 or bf16). A row's bits depend on its own sequence alone.
void expanded_attention(Ctx& ctx, const ExpandedInputs& in, const AttentionBatch& batch,
                        const ExpandedParams& params, const TensorView& out);

}  // namespace lmdeploy
