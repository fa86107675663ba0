#include "kernels/matmul.h"

#include "base/check.h"
#include "kernels/cpu/matmul.h"
#include "kernels/cuda/matmul.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

namespace {

void check_views(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
                 const TensorView& out) {
  const PackedLayout layout = ctx.on_cpu() ? PackedLayout::kInterleaved : PackedLayout::kRowMajor;
  CHECK(w.layout == layout, "matmul: the weight is not packed for the device of the stream");
  const DType dtype = ctx.on_cpu() ? DType::kF32 : w.format;
  const bool f32_out = ctx.on_cpu() || out.dtype() == DType::kF32;
  check_view(ctx, "matmul", "x", x, dtype, {kAnySize, w.k});
  check_view(ctx, "matmul", "out", out, f32_out ? DType::kF32 : dtype, {x.dim(0), w.n});
  check_optional_view(ctx, "matmul", "bias", bias, DType::kF32, {w.n});
}

}  // namespace

void matmul(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
            const TensorView& out, MatmulEpilogue epilogue) {
  check_views(ctx, x, w, bias, out);
  if (!ctx.on_cpu()) return cuda::matmul(ctx, x, w, bias, out, epilogue);
  if (x.dim(0) == 0) return;
  cpu::matmul(ctx, x, w, bias, out, epilogue == MatmulEpilogue::kAdd);
}

}  // namespace lmdeploy
