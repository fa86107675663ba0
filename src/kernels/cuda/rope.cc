#include "kernels/cuda/rope.h"

#include "kernels/cuda/rope_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void rope_cos_sin(Ctx& ctx, const TensorView& positions, const TensorView& inv_freq,
                  const TensorView& freq_row, float attention_scale, const TensorView& cos_sin) {
  if (positions.dim(0) == 0) return;
  CudaStream& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const RopeCosSinLaunch table{.positions = positions.data<int32_t>(),
                               .inv_freq = inv_freq.data<float>(),
                               .freq_row = freq_row.data<int32_t>(),
                               .cos_sin = cos_sin.data<float>(),
                               .inv_freq_stride = inv_freq.row_stride(),
                               .cos_sin_stride = cos_sin.row_stride(),
                               .rows = positions.dim(0),
                               .half = static_cast<int>(inv_freq.dim(1)),
                               .attention_scale = attention_scale};
  stream.launched("rope_cos_sin", launch_rope_cos_sin(table, stream.handle()));
}

}  // namespace lmdeploy::cuda
