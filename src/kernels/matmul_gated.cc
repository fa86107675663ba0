#include "kernels/matmul_gated.h"

#include "kernels/cpu/matmul.h"
#include "kernels/cuda/matmul.h"
#include "kernels/gated_activation.h"
#include "kernels/matmul.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

void matmul_gated(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
                  Activation activation, const TensorView& out) {
  const DType dtype = activation_dtype(ctx, "matmul_gated", out);
  check_view(ctx, "matmul_gated", "x", x, dtype, {kAnySize, w.k});
  CHECK(w.n % 2 == 0, "matmul_gated: a weight of {} rows has no gate and up of one size", w.n);
  check_view(ctx, "matmul_gated", "out", out, dtype, {x.dim(0), w.n / 2});
  if (x.dim(0) == 0) return;
  const bool fused = ctx.on_cpu() ? cpu::matmul_gated(ctx, x, w, bias, activation, out)
                                  : cuda::matmul_gated(ctx, x, w, bias, activation, out);
  if (fused) return;
  ArenaScope scope(ctx.scratch);
  const TensorView gate_up = ctx.scratch.allocate(Shape{x.dim(0), w.n}, dtype);
  matmul(ctx, x, w, bias, gate_up);
  gated_activation(ctx, gate_up, activation, out);
}

}  // namespace lmdeploy
