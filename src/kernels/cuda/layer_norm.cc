#include "kernels/cuda/layer_norm.h"

#include "kernels/cuda/layer_norm_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void layer_norm(Ctx& ctx, const TensorView& residual, const TensorView& delta,
                const TensorView& weight, const TensorView& bias, int64_t heads, float eps,
                const TensorView& out) {
  if (residual.dim(0) == 0) return;
  const int64_t size = residual.dim(1) / heads;
  CHECK(size <= kMaxLayerNormSize, "layer_norm: rows of {} elements; at most {}", size,
        kMaxLayerNormSize);
  CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const LayerNormLaunch rows{.dtype = residual.dtype(),
                             .residual = residual.raw(),
                             .delta = delta.raw(),
                             .weight = weight.data<float>(),
                             .bias = bias.data<float>(),
                             .out = out.raw(),
                             .residual_stride = residual.row_stride(),
                             .delta_stride = delta.row_stride(),
                             .out_stride = out.row_stride(),
                             .tokens = residual.dim(0),
                             .heads = static_cast<int>(heads),
                             .size = static_cast<int>(size),
                             .eps = eps};
  stream.launched("layer_norm", launch_layer_norm(rows, stream.handle()));
}

}  // namespace lmdeploy::cuda
