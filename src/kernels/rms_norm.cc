#include "kernels/rms_norm.h"

#include "kernels/cpu/rms_norm.h"
#include "kernels/cuda/rms_norm.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

namespace {

cpu::RmsNormArgs cpu_args(const TensorView& residual, const TensorView& weight, float eps,
                          const TensorView& out) {
  return {.residual = residual.data<float>(),
          .weight = weight.data<float>(),
          .out = out.data<float>(),
          .residual_stride = residual.row_stride(),
          .out_stride = out.row_stride(),
          .rows = residual.dim(0),
          .size = residual.dim(1),
          .eps = eps};
}

}  // namespace

void rms_norm(Ctx& ctx, const TensorView& x, const TensorView& weight, float eps,
              const TensorView& out) {
  const DType dtype = activation_dtype(ctx, "rms_norm", x);
  check_view(ctx, "rms_norm", "x", x, dtype, {kAnySize, kAnySize});
  check_view(ctx, "rms_norm", "weight", weight, DType::kF32, {x.dim(1)});
  check_view(ctx, "rms_norm", "out", out, dtype, {x.dim(0), x.dim(1)});
  if (!ctx.on_cpu()) return cuda::rms_norm(ctx, x, {}, {}, weight, eps, out);
  cpu::rms_norm(cpu_stream(ctx), cpu_args(x, weight, eps, out));
}

void add_rms_norm(Ctx& ctx, const TensorView& residual, const TensorView& delta,
                  const TensorView& weight, float eps, const TensorView& out) {
  const DType dtype = activation_dtype(ctx, "add_rms_norm", residual);
  check_view(ctx, "add_rms_norm", "residual", residual, dtype, {kAnySize, kAnySize});
  check_view(ctx, "add_rms_norm", "delta", delta, dtype, {residual.dim(0), residual.dim(1)});
  check_view(ctx, "add_rms_norm", "weight", weight, DType::kF32, {residual.dim(1)});
  check_view(ctx, "add_rms_norm", "out", out, dtype, {residual.dim(0), residual.dim(1)});
  if (!ctx.on_cpu()) return cuda::rms_norm(ctx, residual, delta, {}, weight, eps, out);
  cpu::RmsNormArgs args = cpu_args(residual, weight, eps, out);
  args.delta = delta.data<float>();
  args.delta_stride = delta.row_stride();
  cpu::rms_norm(cpu_stream(ctx), args);
}

void sandwich_rms_norm(Ctx& ctx, const TensorView& residual, const TensorView& delta,
                       const TensorView& post_weight, const TensorView& weight, float eps,
                       const TensorView& out) {
  const DType dtype = activation_dtype(ctx, "sandwich_rms_norm", residual);
  check_view(ctx, "sandwich_rms_norm", "residual", residual, dtype, {kAnySize, kAnySize});
  check_view(ctx, "sandwich_rms_norm", "delta", delta, dtype, {residual.dim(0), residual.dim(1)});
  check_view(ctx, "sandwich_rms_norm", "post_weight", post_weight, DType::kF32, {residual.dim(1)});
  check_view(ctx, "sandwich_rms_norm", "weight", weight, DType::kF32, {residual.dim(1)});
  check_view(ctx, "sandwich_rms_norm", "out", out, dtype, {residual.dim(0), residual.dim(1)});
  if (!ctx.on_cpu()) return cuda::rms_norm(ctx, residual, delta, post_weight, weight, eps, out);
  cpu::RmsNormArgs args = cpu_args(residual, weight, eps, out);
  args.delta = delta.data<float>();
  args.delta_stride = delta.row_stride();
  args.post_weight = post_weight.data<float>();
  cpu::rms_norm(cpu_stream(ctx), args);
}

}  // namespace lmdeploy
