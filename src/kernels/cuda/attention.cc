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
          .multiprocessors = stream.properties().multiprocessors,
          .shared_bytes = static_cast<int>(stream.properties().shared_bytes)};
}

bool is_aligned(const void* p, int64_t stride_bytes) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0 && stride_bytes % 16 == 0;
}

// What the tensor-core kernels need of the device, the type and the memory.
bool has_tensor_cores(const CudaStream& stream, DType dtype, const AttentionLaunch& args) {
  constexpr int kFirstCapability = 80;
  constexpr int kBytesPerColumn = 560;  // of shared memory: two stages, and the merge of warps
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

// Whether the kernel for latent caches takes this one. Its sums depend on the other sequences.
bool has_latent_kernel(const CudaStream& stream, DType dtype, const AttentionLaunch& args,
                       const AttentionParams& params) {
  constexpr int kFirstCapability = 80;
  return !params.batch_invariant && dtype != DType::kF32 &&
         stream.properties().compute_capability >= kFirstCapability &&
         args.head_dim == kMaxLatentHeadDim && args.window == 0 && args.alibi_slopes == nullptr &&
         args.sinks == nullptr && args.shared_bytes >= kLatentSharedBytes &&
         is_aligned(args.q, 2 * args.q_stride) && is_aligned(args.out, 2 * args.out_stride) &&
         is_aligned(args.pages, args.page_bytes);
}

void latent(CudaStream& stream, Arena& scratch, DType dtype, AttentionLaunch args) {
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
    latent(stream, ctx.scratch, q.dtype(), args);
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
