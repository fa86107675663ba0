#include "kernels/clamp.h"

#include "kernels/cpu/row_grain.h"
#include "kernels/cuda/row_map.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

void clamp(Ctx& ctx, const TensorView& x, float limit) {
  check_view(ctx, "clamp", "x", x, activation_dtype(ctx, "clamp", x), {kAnySize, kAnySize});
  CHECK(limit > 0, "clamp: the limit is {}", limit);
  if (!ctx.on_cpu()) return cuda::clamp(ctx, x, limit);
  const int64_t columns = x.dim(1);
  cpu_stream(ctx).pool().parallel_for(
      x.dim(0), cpu::row_grain(columns), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
          float* values = x.row<float>(row);
          for (int64_t i = 0; i < columns; ++i) {
            const float low = values[i] < -limit ? -limit : values[i];
            values[i] = low > limit ? limit : low;
          }
        }
      });
}

}  // namespace lmdeploy
