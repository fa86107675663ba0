#include "kernels/cuda/softcap.h"

#include "kernels/cuda/softcap_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void softcap(Ctx& ctx, const TensorView& x, float cap) {
  if (x.dim(0) == 0) return;
  CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const SoftcapLaunch rows{.x = x.data<float>(),
                           .stride = x.row_stride(),
                           .rows = x.dim(0),
                           .size = x.dim(1),
                           .cap = cap};
  stream.launched("softcap", launch_softcap(rows, stream.handle()));
}

}  // namespace lmdeploy::cuda
