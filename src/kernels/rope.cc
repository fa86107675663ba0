#include "kernels/rope.h"

#include "kernels/cpu/rope.h"
#include "kernels/cuda/rope.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

void rope_cos_sin(Ctx& ctx, const TensorView& positions, const TensorView& inv_freq,
                  const TensorView& freq_row, float attention_scale, const TensorView& cos_sin) {
  check_view(ctx, "rope_cos_sin", "positions", positions, DType::kI32, {kAnySize});
  check_view(ctx, "rope_cos_sin", "inv_freq", inv_freq, DType::kF32, {kAnySize, kAnySize});
  check_optional_view(ctx, "rope_cos_sin", "freq_row", freq_row, DType::kI32, {positions.dim(0)});
  check_view(ctx, "rope_cos_sin", "cos_sin", cos_sin, DType::kF32,
             {positions.dim(0), 2 * inv_freq.dim(1)});
  if (!ctx.on_cpu()) {
    return cuda::rope_cos_sin(ctx, positions, inv_freq, freq_row, attention_scale, cos_sin);
  }
  cpu::rope_cos_sin(cpu_stream(ctx), {.positions = positions.data<int32_t>(),
                                      .inv_freq = inv_freq.data<float>(),
                                      .freq_row = freq_row.data<int32_t>(),
                                      .cos_sin = cos_sin.data<float>(),
                                      .inv_freq_stride = inv_freq.row_stride(),
                                      .cos_sin_stride = cos_sin.row_stride(),
                                      .rows = positions.dim(0),
                                      .half = inv_freq.dim(1),
                                      .attention_scale = attention_scale});
}

}  // namespace lmdeploy
