#include "kernels/cuda/attention_input.h"

#include "kernels/cuda/attention_input_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void attention_input(Ctx& ctx, const TensorView& qkv, const AttentionInputParams& params,
                     const TensorView& slot_map, const PagedKv& kv) {
  CHECK(params.head_dim <= kMaxHeadDim, "attention_input: head_dim is {}; CUDA has up to {}",
        params.head_dim, kMaxHeadDim);
  CHECK(kv.dtype == qkv.dtype(),
        "attention_input: a cache of {} for activations of {}; on CUDA they "
        "are one type",
        dtype_name(kv.dtype), dtype_name(qkv.dtype()));
  if (qkv.dim(0) == 0) return;
  CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const bool rotates = !params.cos_sin.empty();
  const AttentionInputLaunch args{
      .qkv = qkv.raw(),
      .q_norm = params.q_norm.data<float>(),
      .k_norm = params.k_norm.data<float>(),
      .cos_sin = params.cos_sin.data<float>(),
      .slot_map = slot_map.data<int64_t>(),
      .pages = reinterpret_cast<char*>(kv.pages + kv.layer_offset),
      .qkv_stride = qkv.row_stride(),
      .cos_sin_stride = params.cos_sin.row_stride(),
      .page_bytes = static_cast<int64_t>(kv.page_bytes),
      .head_bytes = static_cast<int64_t>(kv.head_bytes()),
      .rows = qkv.dim(0),
      .heads = params.heads,
      .kv_heads = params.kv_heads,
      .head_dim = params.head_dim,
      .rotary_half = rotates ? static_cast<int>(params.cos_sin.dim(1) / 2) : 0,
      .block_tokens = kv.block_tokens,
      .norm_eps = params.norm_eps};
  stream.launched("attention_input", launch_attention_input(qkv.dtype(), args, stream.handle()));
}

}  // namespace lmdeploy::cuda
