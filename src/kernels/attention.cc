#include "kernels/attention.h"

#include "kernels/cpu/attention.h"
#include "kernels/cuda/attention.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

namespace {

constexpr const char* kOp = "paged_attention";

void check_sequences(const AttentionBatch& batch, int block_tokens, int64_t tokens) {
  const int32_t* start = batch.query_start.data<int32_t>();
  const int32_t* kv_len = batch.kv_len.data<int32_t>();
  const int64_t table_tokens = batch.block_table.dim(1) * block_tokens;
  CHECK(start[0] == 0 && start[batch.kv_len.dim(0)] == tokens,
        "paged_attention: query_start covers [{}, {}); expected [0, {})", start[0],
        start[batch.kv_len.dim(0)], tokens);
  for (int64_t b = 0; b < batch.kv_len.dim(0); ++b) {
    const int queries = start[b + 1] - start[b];
    CHECK(queries >= 0 && queries <= kv_len[b] && queries <= batch.max_query_len &&
              kv_len[b] <= batch.max_kv_len && kv_len[b] <= table_tokens,
          "paged_attention: sequence {} has {} query tokens (at most {}) and {} context tokens (at "
          "most {}, and {} in its block table)",
          b, queries, batch.max_query_len, kv_len[b], batch.max_kv_len, table_tokens);
  }
}

void check(Ctx& ctx, const TensorView& q, const PagedKv& kv, const AttentionBatch& batch,
           const AttentionParams& params, const TensorView& out) {
  const DType dtype = activation_dtype(ctx, kOp, q);
  CHECK(kv.kv_heads > 0 && params.heads > 0 && params.heads % kv.kv_heads == 0,
        "paged_attention: {} query heads share {} kv heads; expected a multiple", params.heads,
        kv.kv_heads);
  CHECK(kv.head_dim > 0, "paged_attention: head_dim is {}", kv.head_dim);
  CHECK(kv.block_tokens == 32 || kv.block_tokens == 64 || kv.block_tokens == 128,
        "paged_attention: blocks of {} tokens; expected 32, 64 or 128", kv.block_tokens);
  check_view(ctx, kOp, "q", q, dtype, {kAnySize, int64_t{params.heads} * kv.head_dim});
  check_view(ctx, kOp, "out", out, dtype, {q.dim(0), q.dim(1)});
  check_view(ctx, kOp, "kv_len", batch.kv_len, DType::kI32, {kAnySize});
  const int64_t sequences = batch.kv_len.dim(0);
  check_view(ctx, kOp, "query_start", batch.query_start, DType::kI32, {sequences + 1});
  check_view(ctx, kOp, "block_table", batch.block_table, DType::kI32, {sequences, kAnySize});
  check_optional_view(ctx, kOp, "alibi_slopes", params.alibi_slopes, DType::kF32, {params.heads});
  check_optional_view(ctx, kOp, "sinks", params.sinks, DType::kF32, {params.heads});
  if (ctx.on_cpu()) check_sequences(batch, kv.block_tokens, q.dim(0));
}

}  // namespace

void paged_attention(Ctx& ctx, const TensorView& q, const PagedKv& kv, const AttentionBatch& batch,
                     const AttentionParams& params, const TensorView& out) {
  check(ctx, q, kv, batch, params, out);
  if (!ctx.on_cpu()) return cuda::paged_attention(ctx, q, kv, batch, params, out);
  cpu::attention(cpu_stream(ctx), ctx.scratch,
                 {.q = q.data<float>(),
                  .out = out.data<float>(),
                  .pages = kv.pages + kv.layer_offset,
                  .query_start = batch.query_start.data<int32_t>(),
                  .kv_len = batch.kv_len.data<int32_t>(),
                  .block_table = batch.block_table.data<int32_t>(),
                  .alibi_slopes = params.alibi_slopes.data<float>(),
                  .sinks = params.sinks.data<float>(),
                  .q_stride = q.row_stride(),
                  .out_stride = out.row_stride(),
                  .block_table_stride = batch.block_table.row_stride(),
                  .page_bytes = kv.page_bytes,
                  .head_bytes = kv.head_bytes(),
                  .sequences = static_cast<int>(batch.kv_len.dim(0)),
                  .heads = params.heads,
                  .kv_heads = kv.kv_heads,
                  .first_value_head = kv.latent_dim > 0 ? 0 : kv.kv_heads,
                  .head_dim = kv.head_dim,
                  .block_tokens = kv.block_tokens,
                  .max_query_len = batch.max_query_len,
                  .max_kv_len = batch.max_kv_len,
                  .window = params.window,
                  .type = cpu::kv_type(kv.dtype),
                  .scale = params.scale,
                  .softcap = params.softcap});
}

}  // namespace lmdeploy
