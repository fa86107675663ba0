#include "kernels/cuda/attention.h"

#include <bit>
#include <climits>

#include "kernels/cuda/attention_input.h"
#include "kernels/cuda/attention_launch.h"
#include "kernels/cuda/attention_sm90.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

namespace {

constexpr int kMaxDecodeQueries = 8;  // of a sequence; more are prefill

AttentionLaunch launch_of(const CudaStream& stream, const TensorView& q, const PagedKv& kv,
                          const AttentionBatch& batch, const AttentionParams& params,
                          const TensorView& out) {
  return {.q = q.raw(),
          .out = out.raw(),
          .pages = reinterpret_cast<const char*>(kv.pages + kv.layer_offset),
          .query_start = batch.query_start.data<int32_t>(),
          .kv_len = batch.kv_len.data<int32_t>(),
          .block_table = batch.block_table.data<int32_t>(),
          .alibi_slopes = params.alibi_slopes.data<float>(),
          .sinks = params.sinks.data<float>(),
          .tickets = stream.tickets(),
          .q_stride = q.row_stride(),
          .out_stride = out.row_stride(),
          .block_table_stride = batch.block_table.row_stride(),
          .page_bytes = static_cast<int64_t>(kv.page_bytes),
          .head_bytes = static_cast<int64_t>(kv.head_bytes()),
          .value_bytes = kv.latent_dim > 0 ? 0 : static_cast<int64_t>(kv.kv_heads * kv.head_bytes()),
          .sequences = static_cast<int>(batch.kv_len.dim(0)),
          .tokens = static_cast<int>(q.dim(0)),
          .heads = params.heads,
          .kv_heads = kv.kv_heads,
          .group = params.heads / kv.kv_heads,
          .head_dim = kv.head_dim,
          .block_shift = std::countr_zero(static_cast<unsigned>(kv.block_tokens)),
          .window = params.window,
          .scale = params.scale,
          .softcap = params.softcap,
          .min_queries = 0,
          .max_queries = INT_MAX,
          .expanded_from = params.leaves_whole_prompts ? kLeastExpandedQueries : INT_MAX,
          .expanded = false,
          .multiprocessors = stream.properties().multiprocessors,
          .shared_bytes = static_cast<int>(stream.properties().shared_bytes)};
}

bool is_aligned(const void* p, int64_t stride_bytes) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0 && stride_bytes % 16 == 0;
}

// What the tensor-core kernels need of the device, the type and the memory.
bool has_tensor_cores(const CudaStream& stream, DType dtype, const AttentionLaunch& args) {
  constexpr int kFirstCapability = 80;
  constexpr int kBytesPerColumn = 592;  // of shared memory: two stages, and the merge of warps
  return dtype != DType::kF32 && stream.properties().compute_capability >= kFirstCapability &&
         args.head_dim % 8 == 0 &&
         args.shared_bytes >= kBytesPerColumn * (args.head_dim <= 128 ? 128 : 256) &&
         is_aligned(args.q, 2 * args.q_stride) && is_aligned(args.out, 2 * args.out_stride) &&
         is_aligned(args.pages, args.page_bytes);
}

void decode(CudaStream& stream, Arena& scratch, DType dtype, AttentionLaunch args) {
  CHECK(args.multiprocessors * kDecodeBlocksPerSm <= CudaStream::kTickets,
        "paged_attention: {} multiprocessors; expected {} at most", args.multiprocessors,
        CudaStream::kTickets / kDecodeBlocksPerSm);
  ArenaScope scope(scratch);
  args.max_queries = kMaxDecodeQueries;
  args.partial =
      scratch.allocate<float>(decode_scratch_floats(args.multiprocessors, args.head_dim));
  stream.launched("paged_attention", dtype == DType::kF16
                                         ? launch_attention_decode_f16(args, stream.handle())
                                         : launch_attention_decode_bf16(args, stream.handle()));
}

// Whether Hopper's kernel can read the queries of a latent cache.
bool has_latent_tiles(const CudaStream& stream, const AttentionLaunch& args) {
  return stream.hopper() && args.q_stride == int64_t{args.heads} * args.head_dim;
}

// Whether the kernels for latent caches take this one. How the portable one cuts a row's sums
// depends on the other sequences.
bool has_latent_kernel(const CudaStream& stream, DType dtype, const AttentionLaunch& args,
                       const AttentionParams& params) {
  constexpr int kFirstCapability = 80;
  return (!params.batch_invariant || has_latent_tiles(stream, args)) && dtype != DType::kF32 &&
         stream.properties().compute_capability >= kFirstCapability &&
         args.head_dim == kMaxLatentHeadDim && args.window == 0 && args.alibi_slopes == nullptr &&
         args.sinks == nullptr && args.shared_bytes >= kLatentSharedBytes &&
         is_aligned(args.q, 2 * args.q_stride) && is_aligned(args.out, 2 * args.out_stride) &&
         is_aligned(args.pages, args.page_bytes);
}

// Hopper's tiles take sequences with many rows, the others' contexts are split. Where each sequence's
// heads fill tiles, and these the device, they take all.
void latent(CudaStream& stream, Arena& scratch, DType dtype, AttentionLaunch args,
            int max_query_len, bool batch_invariant) {
  constexpr int kTileRows = 64;
  if (has_latent_tiles(stream, args)) {
    const int64_t tiles = int64_t{args.tokens} * args.group / kTileRows;
    const bool all = batch_invariant ||
                     (args.group >= kTileRows && tiles >= args.multiprocessors / 2);
    if (all || max_query_len > kMaxDecodeQueries) {
      AttentionLaunch of_tiles = args;
      of_tiles.min_queries = all ? 0 : kMaxDecodeQueries + 1;
      stream.launched("paged_attention", launch_latent_sm90(dtype, of_tiles, stream.handle()));
      if (all || args.sequences == 1) return;
      args.max_queries = kMaxDecodeQueries;
    }
  }
  ArenaScope scope(scratch);
  args.partial = scratch.allocate<float>(latent_scratch_floats(args.multiprocessors));
  stream.launched("paged_attention", launch_attention_latent(dtype, args, stream.handle()));
}

// Sequences of min_queries query tokens and more, by kernels in which a row's bits depend on its
// own position alone.
void prefill(CudaStream& stream, DType dtype, AttentionLaunch args, int min_queries) {
  args.min_queries = min_queries;
  const auto issue = [&] {
    if (stream.hopper() && args.head_dim <= kMaxAttentionSm90HeadDim) {
      return launch_attention_sm90(dtype, args, stream.handle());
    }
    return dtype == DType::kF16 ? launch_attention_prefill_f16(args, stream.handle())
                                : launch_attention_prefill_bf16(args, stream.handle());
  };
  stream.launched("paged_attention", issue());
}

}  // namespace

bool can_expand_attention(const Stream& any_stream, DType dtype, const ExpandedDims& dims) {
  const auto& stream = static_cast<const CudaStream&>(any_stream);
  return stream.hopper() && dtype != DType::kF32 && dims.nope == kExpandedColumns &&
         dims.rope == kExpandedRope && dims.value == kExpandedColumns;
}

void expanded_attention(Ctx& ctx, const ExpandedInputs& in, const AttentionBatch& batch,
                        const ExpandedParams& params, const TensorView& out) {
  auto& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const DType dtype = in.q_nope.dtype();
  const auto aligned = [](const TensorView& x) { return is_aligned(x.raw(), 2 * x.row_stride()); };
  CHECK(aligned(in.keys) && aligned(in.values) && aligned(in.k_rope),
        "expanded_attention: rows of keys or values are not aligned to 16 bytes");
  const PagedKv no_pages{.block_tokens = 64,
                         .kv_heads = params.heads,
                         .head_dim = kExpandedColumns,
                         .dtype = dtype};
  AttentionLaunch args = launch_of(stream, in.q_nope, no_pages, batch,
                                   {.heads = params.heads,
                                    .scale = params.scale,
                                    .leaves_whole_prompts = true},
                                   out);
  args.expanded = true;
  const ExpandedLaunch expanded{.q_rope = in.q_rope.raw(),
                                .q_rope_stride = in.q_rope.row_stride(),
                                .q_rope_step = static_cast<int>(in.rope_step)};
  const ExpandedRows rows{.keys = in.keys.raw(),
                          .values = in.values.raw(),
                          .rope = in.k_rope.raw(),
                          .key_stride = in.keys.row_stride(),
                          .value_stride = in.values.row_stride(),
                          .rope_stride = in.k_rope.row_stride(),
                          .key_step = kExpandedColumns,
                          .value_step = kExpandedColumns};
  stream.launched("expanded_attention",
                  launch_expanded_sm90(dtype, args, expanded, rows, stream.handle()));
}

void paged_attention(Ctx& ctx, const TensorView& q, const PagedKv& kv, const AttentionBatch& batch,
                     const AttentionParams& params, const TensorView& out) {
  const int most = kv.latent_dim > 0 ? kMaxLatentHeadDim : kMaxHeadDim;
  CHECK(kv.head_dim <= most, "paged_attention: head_dim is {}; CUDA has up to {}", kv.head_dim, most);
  CHECK(kv.dtype == q.dtype(),
        "paged_attention: a cache of {} for activations of {}; on CUDA they "
        "are one type",
        dtype_name(kv.dtype), dtype_name(q.dtype()));
  if (q.dim(0) == 0) return;
  CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const AttentionLaunch args = launch_of(stream, q, kv, batch, params, out);
  if (kv.latent_dim == kLatentColumns && has_latent_kernel(stream, q.dtype(), args, params)) {
    latent(stream, ctx.scratch, q.dtype(), args, batch.max_query_len, params.batch_invariant);
  } else if (kv.latent_dim > 0 || !has_tensor_cores(stream, q.dtype(), args)) {
    stream.launched("paged_attention", launch_attention_plain(q.dtype(), args, stream.handle()));
  } else if (params.batch_invariant) {
    prefill(stream, q.dtype(), args, 1);
  } else if (batch.max_query_len <= kMaxDecodeQueries) {
    decode(stream, ctx.scratch, q.dtype(), args);
  } else {
    if (args.sequences > 1) decode(stream, ctx.scratch, q.dtype(), args);
    prefill(stream, q.dtype(), args, kMaxDecodeQueries + 1);
  }
}

}  // namespace lmdeploy::cuda
