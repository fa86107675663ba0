#include "kernels/cuda/rms_norm.h"

#include "kernels/cuda/rms_norm_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void rms_norm(Ctx& ctx, const TensorView& residual, const TensorView& delta,
              const TensorView& post_weight, const TensorView& weight, float eps,
              const TensorView& out) {
  if (residual.dim(0) == 0) return;
  const CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const RmsNormLaunch rows{.residual = residual.raw(),
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
  switch (residual.dtype()) {
    case DType::kF32: return CUDA_CHECK(launch_rms_norm_f32(rows, stream.handle()));
    case DType::kF16: return CUDA_CHECK(launch_rms_norm_f16(rows, stream.handle()));
    case DType::kBF16: return CUDA_CHECK(launch_rms_norm_bf16(rows, stream.handle()));
    default:
      CHECK(false, "rms_norm: activations of type {}; CUDA has f32, f16 and bf16",
            dtype_name(residual.dtype()));
  }
}

}  // namespace lmdeploy::cuda
