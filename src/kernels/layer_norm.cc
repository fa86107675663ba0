#include "kernels/layer_norm.h"

#include "kernels/cpu/layer_norm.h"
#include "kernels/cuda/layer_norm.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

namespace {

// All views [T, heads * size]; delta and bias may be empty.
void run(Ctx& ctx, const TensorView& residual, const TensorView& delta, const TensorView& weight,
         const TensorView& bias, int64_t heads, float eps, const TensorView& out) {
  if (!ctx.on_cpu()) return cuda::layer_norm(ctx, residual, delta, weight, bias, heads, eps, out);
  cpu::layer_norm(cpu_stream(ctx), {.residual = residual.data<float>(),
                                    .delta = delta.data<float>(),
                                    .weight = weight.data<float>(),
                                    .bias = bias.data<float>(),
                                    .out = out.data<float>(),
                                    .residual_stride = residual.row_stride(),
                                    .delta_stride = delta.row_stride(),
                                    .out_stride = out.row_stride(),
                                    .tokens = residual.dim(0),
                                    .heads = heads,
                                    .size = residual.dim(1) / heads,
                                    .eps = eps});
}

}  // namespace

void layer_norm(Ctx& ctx, const TensorView& x, const TensorView& weight, const TensorView& bias,
                float eps, const TensorView& out) {
  const DType dtype = activation_dtype(ctx, "layer_norm", x);
  check_view(ctx, "layer_norm", "x", x, dtype, {kAnySize, kAnySize});
  check_view(ctx, "layer_norm", "weight", weight, DType::kF32, {x.dim(1)});
  check_optional_view(ctx, "layer_norm", "bias", bias, DType::kF32, {x.dim(1)});
  check_view(ctx, "layer_norm", "out", out, dtype, {x.dim(0), x.dim(1)});
  run(ctx, x, {}, weight, bias, 1, eps, out);
}

void add_layer_norm(Ctx& ctx, const TensorView& residual, const TensorView& delta,
                    const TensorView& weight, const TensorView& bias, float eps,
                    const TensorView& out) {
  const DType dtype = activation_dtype(ctx, "add_layer_norm", residual);
  check_view(ctx, "add_layer_norm", "residual", residual, dtype, {kAnySize, kAnySize});
  check_view(ctx, "add_layer_norm", "delta", delta, dtype, {residual.dim(0), residual.dim(1)});
  check_view(ctx, "add_layer_norm", "weight", weight, DType::kF32, {residual.dim(1)});
  check_optional_view(ctx, "add_layer_norm", "bias", bias, DType::kF32, {residual.dim(1)});
  check_view(ctx, "add_layer_norm", "out", out, dtype, {residual.dim(0), residual.dim(1)});
  run(ctx, residual, delta, weight, bias, 1, eps, out);
}

void head_layer_norm(Ctx& ctx, const TensorView& x, const TensorView& weight, float eps,
                     const TensorView& out) {
  const DType dtype = activation_dtype(ctx, "head_layer_norm", x);
  check_view(ctx, "head_layer_norm", "weight", weight, DType::kF32, {kAnySize, kAnySize});
  CHECK(weight.row_stride() == weight.dim(1), "head_layer_norm: the weight's rows are strided");
  check_view(ctx, "head_layer_norm", "x", x, dtype, {kAnySize, weight.dim(0) * weight.dim(1)});
  check_view(ctx, "head_layer_norm", "out", out, dtype, {x.dim(0), x.dim(1)});
  run(ctx, x, {}, weight, {}, weight.dim(0), eps, out);
}

}  // namespace lmdeploy
