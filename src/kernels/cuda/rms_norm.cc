#include "kernels/cuda/rms_norm.h"

#include "kernels/cuda/rms_norm_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void rms_norm(Ctx& ctx, const TensorView& residual, const TensorView& delta,
              const TensorView& post_weight, const TensorView& weight, float eps,
              const TensorView& out) {
  if (residual.dim(0) == 0) return;
  CHECK(residual.dim(1) <= kMaxRmsNormSize, "rms_norm: rows of {} elements; at most {}",
        residual.dim(1), kMaxRmsNormSize);
  CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const RmsNormLaunch rows{.dtype = residual.dtype(),
                           .residual = residual.raw(),
                           .delta = delta.raw(),
                           .post_weight = post_weight.data<float>(),
                           .weight = weight.data<float>(),
                           .out = out.raw(),
                           .residual_stride = residual.row_stride(),
                           .delta_stride = delta.row_stride(),
                           .out_stride = out.row_stride(),
                           .rows = residual.dim(0),
                           .size = static_cast<int>(residual.dim(1)),
                           .eps = eps};
  stream.launched("rms_norm", launch_rms_norm(rows, stream.handle()));
}

}  // namespace lmdeploy::cuda
