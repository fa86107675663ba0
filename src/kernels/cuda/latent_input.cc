#include "kernels/cuda/latent_input.h"

#include "kernels/cuda/latent_input_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void latent_input(Ctx& ctx, const TensorView& latent, const TensorView& query_rope,
                  const LatentInputParams& params, const TensorView& slot_map, const PagedKv& kv,
                  const TensorView& query) {
  CHECK(kv.dtype == latent.dtype(),
        "latent_input: a cache of {} for activations of {}; on CUDA they are one type",
        dtype_name(kv.dtype), dtype_name(latent.dtype()));
  if (latent.dim(0) == 0) return;
  CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const LatentInputLaunch args{.latent = latent.raw(),
                               .query_rope = query_rope.raw(),
                               .query = query.raw(),
                               .norm = params.norm.data<float>(),
                               .cos_sin = params.cos_sin.data<float>(),
                               .slot_map = slot_map.data<int64_t>(),
                               .pages = reinterpret_cast<char*>(kv.pages + kv.layer_offset),
                               .latent_stride = latent.row_stride(),
                               .query_rope_stride = query_rope.row_stride(),
                               .query_stride = query.row_stride(),
                               .cos_sin_stride = params.cos_sin.row_stride(),
                               .page_bytes = static_cast<int64_t>(kv.page_bytes),
                               .rows = latent.dim(0),
                               .heads = params.heads,
                               .latent_dim = params.latent_dim,
                               .rotary_half = static_cast<int>(params.cos_sin.dim(1) / 2),
                               .block_tokens = kv.block_tokens,
                               .norm_eps = params.norm_eps};
  stream.launched("latent_input", launch_latent_input(latent.dtype(), args, stream.handle()));
}

}  // namespace lmdeploy::cuda
