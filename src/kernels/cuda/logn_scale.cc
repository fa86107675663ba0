#include "kernels/cuda/logn_scale.h"

#include <cmath>

#include "kernels/cuda/logn_scale_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void logn_scale(Ctx& ctx, const TensorView& positions, int64_t length, const TensorView& x) {
  if (x.dim(0) == 0) return;
  CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const LognScaleLaunch rows{.dtype = x.dtype(),
                             .positions = positions.data<int32_t>(),
                             .length = length,
                             .inverse_log = 1.0 / std::log(static_cast<double>(length)),
                             .x = x.raw(),
                             .stride = x.row_stride(),
                             .rows = x.dim(0),
                             .size = x.dim(1)};
  stream.launched("logn_scale", launch_logn_scale(rows, stream.handle()));
}

}  // namespace lmdeploy::cuda
