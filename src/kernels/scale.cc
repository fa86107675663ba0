#include "kernels/scale.h"

#include "kernels/cpu/row_grain.h"
#include "kernels/cuda/row_map.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

void scale(Ctx& ctx, const TensorView& x, float factor) {
  check_view(ctx, "scale", "x", x, DType::kF32, {kAnySize, kAnySize});
  if (!ctx.on_cpu()) return cuda::scale(ctx, x, factor);
  const int64_t columns = x.dim(1);
  cpu_stream(ctx).pool().parallel_for(x.dim(0), cpu::row_grain(columns),
                                      [&](int64_t begin, int64_t end) {
                                        for (int64_t row = begin; row < end; ++row) {
                                          float* values = x.row<float>(row);
                                          for (int64_t i = 0; i < columns; ++i) values[i] *= factor;
                                        }
                                      });
}

}  // namespace lmdeploy
