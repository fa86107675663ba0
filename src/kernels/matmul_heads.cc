#include "kernels/matmul_heads.h"

#include "kernels/cuda/matmul.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

namespace {

constexpr const char* kOp = "matmul_heads";

void check(Ctx& ctx, const TensorView& x, int64_t x_step, const HeadMatrices& w,
           const TensorView& out, int64_t out_step) {
  const auto parts = static_cast<size_t>(ctx.on_cpu() ? w.heads : 1);
  const PackedLayout layout = ctx.on_cpu() ? PackedLayout::kInterleaved : PackedLayout::kRowMajor;
  CHECK(w.heads >= 1 && w.parts.size() == parts && w.parts[0].layout == layout,
        "matmul_heads: {} matrices of {} heads, or not packed for the device of the stream",
        w.parts.size(), w.heads);
  const DType dtype = ctx.on_cpu() ? DType::kF32 : w.parts[0].format;
  check_view(ctx, kOp, "x", x, dtype, {kAnySize, kAnySize});
  check_view(ctx, kOp, "out", out, dtype, {x.dim(0), kAnySize});
  const int64_t last = w.heads - 1;
  CHECK(x_step >= 0 && out_step >= w.n && x.dim(1) >= last * x_step + w.k &&
            out.dim(1) >= last * out_step + w.n,
        "matmul_heads: {} columns in steps of {} to {} in steps of {} by {} matrices [{}, {}]",
        x.dim(1), x_step, out.dim(1), out_step, w.heads, w.n, w.k);
}

}  // namespace

void matmul_heads(Ctx& ctx, const TensorView& x, int64_t x_step, const HeadMatrices& w,
                  const TensorView& out, int64_t out_step) {
  check(ctx, x, x_step, w, out, out_step);
  if (x.dim(0) == 0) return;
  if (!ctx.on_cpu()) return cuda::matmul_heads(ctx, x, x_step, w, out, out_step);
  for (int64_t h = 0; h < w.heads; ++h) {
    matmul(ctx, x.columns(h * x_step, w.k), w.parts[static_cast<size_t>(h)], TensorView(),
           out.columns(h * out_step, w.n));
  }
}

}  // namespace lmdeploy
