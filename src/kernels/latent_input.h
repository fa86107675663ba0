// latent_input: everything between the projections of latent attention (MLA: DeepSeek V2,
// arXiv 2405.04434 section 2.1) and paged_attention. The cache keeps one head a token: the normed
// latent, whose columns are also the values, and behind it the rotated key that all heads share.
#pragma once

#include "kernels/ctx.h"
#include "kernels/paged_kv.h"

namespace lmdeploy {

struct LatentInputParams {
  int heads = 0;
  int latent_dim = 0;
  TensorView norm;      // f32 [latent_dim], of the latent
  float norm_eps = 0;
  TensorView cos_sin;   // f32 [T, rope_dim] (kernels/rope.h)
};

// All f32 (CUDA: f32, f16 or bf16, as the pages). With head_dim = latent_dim + rope_dim:
// latent [T, head_dim]: its first latent_dim columns are normed and the others rotated, in place (for
// kernels/expanded_attention.h), and the row, rounded to the cache's type, is stored at slot_map[t]
// (i64 [T]; negative: nowhere).
// query_rope [T, heads * rope_dim]: each head is rotated into the last rope_dim columns of that head
// of query [T, heads * head_dim].
void latent_input(Ctx& ctx, const TensorView& latent, const TensorView& query_rope,
                  const LatentInputParams& params, const TensorView& slot_map, const PagedKv& kv,
                  const TensorView& query);

}  // namespace lmdeploy
