#include "kernels/cuda/gated_activation.h"

#include "kernels/cuda/gated_activation_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void gated_activation(Ctx& ctx, const TensorView& gate_up, Activation activation,
                      const TensorView& out) {
  if (out.dim(0) == 0) return;
  CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const GatedActivationLaunch rows{.dtype = out.dtype(),
                                   .activation = activation,
                                   .gate_up = gate_up.raw(),
                                   .out = out.raw(),
                                   .gate_up_stride = gate_up.row_stride(),
                                   .out_stride = out.row_stride(),
                                   .rows = out.dim(0),
                                   .size = out.dim(1)};
  stream.launched("gated_activation", launch_gated_activation(rows, stream.handle()));
}

}  // namespace lmdeploy::cuda
