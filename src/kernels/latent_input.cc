#include "kernels/latent_input.h"

#include "kernels/cpu/latent_input.h"
#include "kernels/cuda/latent_input.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

namespace {

constexpr const char* kOp = "latent_input";

void check(Ctx& ctx, const TensorView& latent, const TensorView& query_rope,
           const LatentInputParams& params, const TensorView& slot_map, const PagedKv& kv,
           const TensorView& query) {
  const DType dtype = activation_dtype(ctx, kOp, latent);
  check_view(ctx, kOp, "latent", latent, dtype, {kAnySize, kv.head_dim});
  const int64_t rows = latent.dim(0);
  check_view(ctx, kOp, "cos_sin", params.cos_sin, DType::kF32, {rows, kAnySize});
  const int64_t rope_dim = params.cos_sin.dim(1);
  CHECK(kv.latent_dim == params.latent_dim && kv.kv_heads == 1 && kv.head_dim == params.latent_dim + rope_dim &&
            rope_dim % 2 == 0 && params.heads > 0,
        "latent_input: a cache of {} heads of {} for latents of {} and keys of {}", kv.kv_heads,
        kv.head_dim, params.latent_dim, rope_dim);
  check_view(ctx, kOp, "query_rope", query_rope, dtype, {rows, params.heads * rope_dim});
  check_view(ctx, kOp, "query", query, dtype, {rows, int64_t{params.heads} * kv.head_dim});
  check_view(ctx, kOp, "norm", params.norm, DType::kF32, {params.latent_dim});
  check_view(ctx, kOp, "slot_map", slot_map, DType::kI64, {rows});
}

}  // namespace

void latent_input(Ctx& ctx, const TensorView& latent, const TensorView& query_rope,
                  const LatentInputParams& params, const TensorView& slot_map, const PagedKv& kv,
                  const TensorView& query) {
  check(ctx, latent, query_rope, params, slot_map, kv, query);
  if (!ctx.on_cpu()) {
    return cuda::latent_input(ctx, latent, query_rope, params, slot_map, kv, query);
  }
  cpu::latent_input(cpu_stream(ctx),
                    {.latent = latent.data<float>(),
                     .query_rope = query_rope.data<float>(),
                     .query = query.data<float>(),
                     .norm = params.norm.data<float>(),
                     .cos_sin = params.cos_sin.data<float>(),
                     .slot_map = slot_map.data<int64_t>(),
                     .pages = kv.pages + kv.layer_offset,
                     .latent_stride = latent.row_stride(),
                     .query_rope_stride = query_rope.row_stride(),
                     .query_stride = query.row_stride(),
                     .cos_sin_stride = params.cos_sin.row_stride(),
                     .page_bytes = kv.page_bytes,
                     .rows = latent.dim(0),
                     .heads = params.heads,
                     .latent_dim = params.latent_dim,
                     .rotary_half = static_cast<int>(params.cos_sin.dim(1) / 2),
                     .block_tokens = kv.block_tokens,
                     .element_bytes = static_cast<int>(dtype_bytes(kv.dtype, 1)),
                     .type = cpu::kv_type(kv.dtype),
                     .norm_eps = params.norm_eps});
}

}  // namespace lmdeploy
