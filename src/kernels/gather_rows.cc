#include "kernels/gather_rows.h"

#include <cstring>

#include "kernels/op_checks.h"

namespace lmdeploy {

void gather_rows(Ctx& ctx, const TensorView& x, const TensorView& rows, const TensorView& out) {
  check_on_cpu(ctx, "gather_rows");
  check_view(ctx, "gather_rows", "x", x, DType::kF32, {kAnySize, kAnySize});
  check_view(ctx, "gather_rows", "rows", rows, DType::kI32, {kAnySize});
  check_view(ctx, "gather_rows", "out", out, DType::kF32, {rows.dim(0), x.dim(1)});
  for (int64_t r = 0; r < rows.dim(0); ++r) {
    const int32_t source = *rows.row<int32_t>(r);
    CHECK(source >= 0 && source < x.dim(0), "row {} of {}", source, x.dim(0));
    std::memcpy(out.row<float>(r), x.row<float>(source),
                static_cast<size_t>(x.dim(1)) * sizeof(float));
  }
}

}  // namespace lmdeploy
