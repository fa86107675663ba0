// Paged attention, prefill and decode and any mix of them: each sequence has 1 or more query tokens,
// the last tokens of its context, whose K and V are in the pages already.
#pragma once

#include "kernels/ctx.h"
#include "kernels/paged_kv.h"

namespace lmdeploy {

struct AttentionParams {
  int heads = 0;
  float scale = 0;            // multiplies q.k
  int window = 0;             // a query sees this many tokens including itself; 0: all before it
  float softcap = 0;          // s = softcap * tanh(s / softcap); 0: off
  TensorView alibi_slopes;    // f32 [heads]: score += slope * (j - i), or empty
  TensorView sinks;           // f32 [heads]: a logit that joins the softmax denominator, or empty
  bool batch_invariant = false;  // CUDA: as below; the CPU is always so
  // Of a latent cache: the rows that kernels/expanded_attention.h computes need not be computed.
  bool leaves_whole_prompts = false;
};

// The step's geometry: B sequences, T query tokens (nn/batch.h has the same meaning).
struct AttentionBatch {
  TensorView query_start;     // i32 [B + 1]
  TensorView kv_len;          // i32 [B]
  TensorView block_table;     // i32 [B, max_blocks]
  int max_query_len = 0;
  int max_kv_len = 0;
};

// q f32 [T, heads * head_dim] (rows may be strided), out f32 [T, heads * head_dim] (CUDA: f32, f16 or
// bf16, as the pages). Query token t of a sequence with n query tokens stands at position kv_len - n +
// t and sees positions j <= its own (within the window). A row's bits do not depend on the other
// sequences in the batch nor on how its prompt was cut into chunks; on CUDA, where that costs speed,
// with batch_invariant. Of a latent cache, the columns of a head of `out` behind latent_dim are not
// defined. On CUDA the lengths in `batch` are read on the device, max_query_len and
// max_kv_len are upper bounds, and a sequence whose kv_len is 0 (padding) gets rows of zeros.
void paged_attention(Ctx& ctx, const TensorView& q, const PagedKv& kv, const AttentionBatch& batch,
                     const AttentionParams& params, const TensorView& out);

}  // namespace lmdeploy
