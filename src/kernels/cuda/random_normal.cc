#include "kernels/cuda/random_normal.h"

#include "kernels/cuda/random_normal_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void random_normal(Ctx& ctx, const RandomNormal& values, const TensorView& out) {
  if (out.shape().numel() == 0) return;
  CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const RandomNormalLaunch launch{.dtype = out.dtype(),
                                  .out = out.raw(),
                                  .out_stride = out.row_stride(),
                                  .rows = out.dim(0),
                                  .columns = out.dim(1),
                                  .key = values.key,
                                  .first = values.first,
                                  .row_elements = values.row_elements,
                                  .mean = values.mean,
                                  .stddev = values.stddev};
  stream.launched("random_normal", launch_random_normal(launch, stream.handle()));
}

}  // namespace lmdeploy::cuda
