#include "kernels/gated_mlp.h"

#include "kernels/cpu/matmul.h"
#include "kernels/matmul_gated.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

void gated_mlp(Ctx& ctx, const TensorView& x, const PackedMatrix& gate_up, const TensorView& gate_up_bias,
               Activation activation, const PackedMatrix& down, const TensorView& down_bias,
               const TensorView& out, MatmulEpilogue epilogue) {
  CHECK(gate_up.n == 2 * down.k, "gated_mlp: gate and up of {} rows, down of {} columns", gate_up.n, down.k);
  const DType dtype = activation_dtype(ctx, "gated_mlp", x);
  check_view(ctx, "gated_mlp", "x", x, dtype, {kAnySize, gate_up.k});
  check_view(ctx, "gated_mlp", "out", out, dtype, {x.dim(0), down.n});
  check_optional_view(ctx, "gated_mlp", "gate_up_bias", gate_up_bias, DType::kF32, {gate_up.n});
  check_optional_view(ctx, "gated_mlp", "down_bias", down_bias, DType::kF32, {down.n});
  if (x.dim(0) == 0) return;
  if (ctx.on_cpu() && cpu::gated_mlp(ctx, x, gate_up, gate_up_bias, activation, down, down_bias, out,
                                     epilogue == MatmulEpilogue::kAdd)) {
    return;
  }
  ArenaScope scope(ctx.scratch);
  const TensorView product = ctx.scratch.allocate(Shape{x.dim(0), down.k}, x.dtype());
  matmul_gated(ctx, x, gate_up, gate_up_bias, activation, product);
  matmul(ctx, product, down, down_bias, out, epilogue);
}

}  // namespace lmdeploy
