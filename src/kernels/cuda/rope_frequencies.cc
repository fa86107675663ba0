#include "kernels/cuda/rope_frequencies.h"

#include "kernels/cuda/rope_frequencies_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void rope_frequencies(Ctx& ctx, const TensorView& lengths, const RopeByLength& rope,
                      const TensorView& out) {
  if (lengths.dim(0) == 0) return;
  CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const RopeFrequenciesLaunch launch{.lengths = lengths.data<int32_t>(),
                                     .within = rope.within.data<float>(),
                                     .beyond = rope.beyond.data<float>(),
                                     .out = out.data<float>(),
                                     .out_stride = out.row_stride(),
                                     .sequences = lengths.dim(0),
                                     .limit = rope.limit,
                                     .half = static_cast<int>(out.dim(1)),
                                     .factor = rope.factor,
                                     .by_doublings = rope.by_doublings};
  stream.launched("rope_frequencies", launch_rope_frequencies(launch, stream.handle()));
}

}  // namespace lmdeploy::cuda
