// attention_input: everything between the qkv projection and attention, in one pass over qkv: norm
// of each head of q and k (where the model has it), rotation, and the write of k and v into the pages.
#pragma once

#include "kernels/ctx.h"
#include "kernels/paged_kv.h"

namespace lmdeploy {

struct AttentionInputParams {
  int heads = 0;           // query heads
  int kv_heads = 0;
  int head_dim = 0;
  TensorView q_norm;       // f32 [head_dim], or empty
  TensorView k_norm;       // f32 [head_dim], or empty
  float norm_eps = 0;
  TensorView cos_sin;      // f32 [T, rotary_dim] (kernels/rope.h), or empty: no rotation
};

// qkv f32 [T, (heads + 2 * kv_heads) * head_dim] (CUDA: f32, f16 or bf16, as the pages): q is normed
// and rotated in place; k is normed and rotated and, with v, rounded to the cache's type and stored at
// slot_map[t] (i64 [T], page * block_tokens + offset; a negative slot stores nothing). rotary_dim <=
// head_dim; the rest of a head passes unrotated. What qkv holds of k and v afterwards is not defined.
void attention_input(Ctx& ctx, const TensorView& qkv, const AttentionInputParams& params,
                     const TensorView& slot_map, const PagedKv& kv);

}  // namespace lmdeploy
