#include "kernels/shared_rms_norm.h"

#include <cmath>

#include "kernels/cpu/row_grain.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

void sum_of_squares(Ctx& ctx, const TensorView& x, const TensorView& sums) {
  check_on_cpu(ctx, "sum_of_squares");
  check_view(ctx, "sum_of_squares", "x", x, DType::kF32, {kAnySize, kAnySize});
  check_view(ctx, "sum_of_squares", "sums", sums, DType::kF32, {x.dim(0), 1});
  const int64_t columns = x.dim(1);
  const auto sum_rows = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* values = x.row<float>(row);
      double sum = 0;
      for (int64_t i = 0; i < columns; ++i) sum += double{values[i]} * values[i];
      *sums.row<float>(row) = static_cast<float>(sum);
    }
  };
  cpu_stream(ctx).pool().parallel_for(x.dim(0), cpu::row_grain(columns), sum_rows);
}

void scale_by_rms(Ctx& ctx, const TensorView& sums, int64_t count, const TensorView& weight,
                  float eps, const TensorView& x) {
  check_on_cpu(ctx, "scale_by_rms");
  check_view(ctx, "scale_by_rms", "x", x, DType::kF32, {kAnySize, kAnySize});
  check_view(ctx, "scale_by_rms", "sums", sums, DType::kF32, {x.dim(0), 1});
  check_view(ctx, "scale_by_rms", "weight", weight, DType::kF32, {x.dim(1)});
  CHECK(count >= x.dim(1), "scale_by_rms: {} elements of all ranks", count);
  const int64_t columns = x.dim(1);
  const float* weights = weight.data<float>();
  const auto scale_rows = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const double mean = double{*sums.row<float>(row)} / static_cast<double>(count);
      const auto scale = static_cast<float>(1.0 / std::sqrt(mean + double{eps}));
      float* values = x.row<float>(row);
      for (int64_t i = 0; i < columns; ++i) values[i] *= scale * weights[i];
    }
  };
  cpu_stream(ctx).pool().parallel_for(x.dim(0), cpu::row_grain(columns), scale_rows);
}

}  // namespace lmdeploy
