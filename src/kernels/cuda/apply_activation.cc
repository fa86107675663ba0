#include "kernels/cuda/apply_activation.h"

#include "kernels/cuda/apply_activation_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void apply_activation(Ctx& ctx, const TensorView& x, Activation activation) {
  if (x.dim(0) == 0) return;
  CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const ApplyActivationLaunch rows{.dtype = x.dtype(),
                                   .activation = activation,
                                   .x = x.raw(),
                                   .stride = x.row_stride(),
                                   .rows = x.dim(0),
                                   .size = x.dim(1)};
  stream.launched("apply_activation", launch_apply_activation(rows, stream.handle()));
}

}  // namespace lmdeploy::cuda
