#include "kernels/attention_input.h"

#include "kernels/cpu/attention_input.h"
#include "kernels/cpu/kv_type.h"
#include "kernels/cuda/attention_input.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

namespace {

constexpr const char* kOp = "attention_input";

void check(Ctx& ctx, const TensorView& qkv, const AttentionInputParams& params,
           const TensorView& slot_map, const PagedKv& kv) {
  const DType dtype = activation_dtype(ctx, kOp, qkv);
  CHECK(params.heads > 0 && params.kv_heads > 0 && params.head_dim > 0,
        "attention_input: {} heads, {} kv heads of {}", params.heads, params.kv_heads,
        params.head_dim);
  const int64_t columns = int64_t{params.heads + 2 * params.kv_heads} * params.head_dim;
  check_view(ctx, kOp, "qkv", qkv, dtype, {kAnySize, columns});
  check_optional_view(ctx, kOp, "q_norm", params.q_norm, DType::kF32, {params.head_dim});
  check_optional_view(ctx, kOp, "k_norm", params.k_norm, DType::kF32, {params.head_dim});
  check_optional_view(ctx, kOp, "cos_sin", params.cos_sin, DType::kF32, {qkv.dim(0), kAnySize});
  if (!params.cos_sin.empty()) {
    const int64_t rotary_dim = params.cos_sin.dim(1);
    CHECK(rotary_dim % 2 == 0 && rotary_dim <= params.head_dim,
          "attention_input: cos_sin has {} columns; expected an even number up to head_dim {}",
          rotary_dim, params.head_dim);
  }
  check_view(ctx, kOp, "slot_map", slot_map, DType::kI64, {qkv.dim(0)});
  CHECK(kv.kv_heads == params.kv_heads && kv.head_dim == params.head_dim,
        "attention_input: the cache has {} kv heads of {}; expected {} of {}", kv.kv_heads,
        kv.head_dim, params.kv_heads, params.head_dim);
}

}  // namespace

void attention_input(Ctx& ctx, const TensorView& qkv, const AttentionInputParams& params,
                     const TensorView& slot_map, const PagedKv& kv) {
  check(ctx, qkv, params, slot_map, kv);
  if (!ctx.on_cpu()) return cuda::attention_input(ctx, qkv, params, slot_map, kv);
  const bool rotates = !params.cos_sin.empty();
  cpu::attention_input(cpu_stream(ctx),
                       {.qkv = qkv.data<float>(),
                        .q_norm = params.q_norm.data<float>(),
                        .k_norm = params.k_norm.data<float>(),
                        .cos_sin = params.cos_sin.data<float>(),
                        .slot_map = slot_map.data<int64_t>(),
                        .pages = kv.pages + kv.layer_offset,
                        .qkv_stride = qkv.row_stride(),
                        .cos_sin_stride = params.cos_sin.row_stride(),
                        .page_bytes = kv.page_bytes,
                        .head_bytes = kv.head_bytes(),
                        .rows = qkv.dim(0),
                        .heads = params.heads,
                        .kv_heads = params.kv_heads,
                        .head_dim = params.head_dim,
                        .rotary_half = rotates ? static_cast<int>(params.cos_sin.dim(1) / 2) : 0,
                        .block_tokens = kv.block_tokens,
                        .element_bytes = static_cast<int>(dtype_bytes(kv.dtype, 1)),
                        .type = cpu::kv_type(kv.dtype),
                        .norm_eps = params.norm_eps});
}

}  // namespace lmdeploy
