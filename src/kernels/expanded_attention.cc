#include "kernels/expanded_attention.h"

#include "kernels/cpu/expanded_attention.h"
#include "kernels/cuda/attention.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

namespace {

constexpr const char* kOp = "expanded_attention";

void check(Ctx& ctx, const ExpandedInputs& in, const AttentionBatch& batch,
           const ExpandedParams& params, const TensorView& out) {
  const DType dtype = activation_dtype(ctx, kOp, in.q_nope);
  const ExpandedDims& dims = params.dims;
  const int64_t heads = params.heads;
  check_view(ctx, kOp, "q_nope", in.q_nope, dtype, {kAnySize, heads * dims.nope});
  const int64_t rows = in.q_nope.dim(0);
  check_view(ctx, kOp, "q_rope", in.q_rope, dtype, {rows, kAnySize});
  CHECK(in.q_rope.dim(1) >= (heads - 1) * in.rope_step + dims.rope,
        "expanded_attention: q_rope has {} columns for {} heads in steps of {}", in.q_rope.dim(1),
        heads, in.rope_step);
  check_view(ctx, kOp, "keys", in.keys, dtype, {rows, heads * dims.nope});
  check_view(ctx, kOp, "k_rope", in.k_rope, dtype, {rows, dims.rope});
  check_view(ctx, kOp, "values", in.values, dtype, {rows, heads * dims.value});
  check_view(ctx, kOp, "out", out, dtype, {rows, heads * dims.value});
  check_view(ctx, kOp, "kv_len", batch.kv_len, DType::kI32, {kAnySize});
  check_view(ctx, kOp, "query_start", batch.query_start, DType::kI32, {batch.kv_len.dim(0) + 1});
  CHECK(ctx.on_cpu() || can_expand_attention(ctx.stream, dtype, dims),
        "expanded_attention: no kernel on this device for {} and heads of {} + {} and {}",
        dtype_name(dtype), dims.nope, dims.rope, dims.value);
}

}  // namespace

bool can_expand_attention(const Stream& stream, DType dtype, const ExpandedDims& dims) {
  return !stream.device().is_cpu() && cuda::can_expand_attention(stream, dtype, dims);
}

void expanded_attention(Ctx& ctx, const ExpandedInputs& in, const AttentionBatch& batch,
                        const ExpandedParams& params, const TensorView& out) {
  check(ctx, in, batch, params, out);
  if (in.q_nope.dim(0) == 0) return;
  if (!ctx.on_cpu()) return cuda::expanded_attention(ctx, in, batch, params, out);
  cpu::expanded_attention(cpu_stream(ctx), in, batch, params, out);
}

}  // namespace lmdeploy
