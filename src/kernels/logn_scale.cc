#include "kernels/logn_scale.h"

#include <cmath>

#include "kernels/cpu/row_grain.h"
#include "kernels/cuda/logn_scale.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

void logn_scale(Ctx& ctx, const TensorView& positions, int64_t length, const TensorView& x) {
  const DType dtype = activation_dtype(ctx, "logn_scale", x);
  check_view(ctx, "logn_scale", "x", x, dtype, {kAnySize, kAnySize});
  check_view(ctx, "logn_scale", "positions", positions, DType::kI32, {x.dim(0)});
  CHECK(length > 1, "logn_scale: a length of {}", length);
  if (!ctx.on_cpu()) return cuda::logn_scale(ctx, positions, length, x);
  const int64_t columns = x.dim(1);
  const int32_t* position = positions.data<int32_t>();
  const auto scale_rows = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t seen = int64_t{position[row]} + 1;
      if (seen <= length) continue;
      const auto factor = static_cast<float>(std::log(static_cast<double>(seen)) /
                                             std::log(static_cast<double>(length)));
      float* values = x.row<float>(row);
      for (int64_t i = 0; i < columns; ++i) values[i] *= factor;
    }
  };
  cpu_stream(ctx).pool().parallel_for(x.dim(0), cpu::row_grain(columns), scale_rows);
}

}  // namespace lmdeploy
