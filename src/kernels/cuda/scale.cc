#include "kernels/cuda/scale.h"

#include "kernels/cuda/scale_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void scale(Ctx& ctx, const TensorView& x, float factor) {
  if (x.dim(0) == 0) return;
  CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const ScaleLaunch rows{.x = x.data<float>(),
                          .stride = x.row_stride(),
                          .rows = x.dim(0),
                          .size = x.dim(1),
                          .factor = factor};
  stream.launched("scale", launch_scale(rows, stream.handle()));
}

}  // namespace lmdeploy::cuda
