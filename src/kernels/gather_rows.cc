#include "kernels/gather_rows.h"

#include <cstring>

#include "kernels/cuda/gather_rows.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

void gather_rows(Ctx& ctx, const TensorView& x, const TensorView& rows, const TensorView& out) {
  const DType dtype = activation_dtype(ctx, "gather_rows", x);
  check_view(ctx, "gather_rows", "x", x, dtype, {kAnySize, kAnySize});
  check_view(ctx, "gather_rows", "rows", rows, DType::kI32, {kAnySize});
  check_view(ctx, "gather_rows", "out", out, dtype, {rows.dim(0), x.dim(1)});
  if (!ctx.on_cpu()) return cuda::gather_rows(ctx, x, rows, out);
  for (int64_t r = 0; r < rows.dim(0); ++r) {
    const int32_t source = *rows.row<int32_t>(r);
    CHECK(source >= 0 && source < x.dim(0), "row {} of {}", source, x.dim(0));
    std::memcpy(out.row<float>(r), x.row<float>(source),
                static_cast<size_t>(x.dim(1)) * sizeof(float));
  }
}

}  // namespace lmdeploy
