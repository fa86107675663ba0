#include "kernels/cuda/clamp.h"

#include "kernels/cuda/clamp_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void clamp(Ctx& ctx, const TensorView& x, float limit) {
  if (x.dim(0) == 0) return;
  auto& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const ClampLaunch rows{.dtype = x.dtype(),
                         .x = x.raw(),
                         .stride = x.row_stride(),
                         .rows = x.dim(0),
                         .size = x.dim(1),
                         .limit = limit};
  stream.launched("clamp", launch_clamp(rows, stream.handle()));
}

}  // namespace lmdeploy::cuda
