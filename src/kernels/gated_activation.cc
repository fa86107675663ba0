#include "kernels/gated_activation.h"

#include "kernels/cpu/gated_activation.h"
#include "kernels/cuda/gated_activation.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

void gated_activation(Ctx& ctx, const TensorView& gate_up, Activation activation,
                      const TensorView& out) {
  const DType dtype = activation_dtype(ctx, "gated_activation", out);
  check_view(ctx, "gated_activation", "out", out, dtype, {kAnySize, kAnySize});
  check_view(ctx, "gated_activation", "gate_up", gate_up, dtype, {out.dim(0), 2 * out.dim(1)});
  if (!ctx.on_cpu()) return cuda::gated_activation(ctx, gate_up, activation, out);
  cpu::gated_activation(cpu_stream(ctx), {.gate = gate_up.data<float>(),
                                          .up = gate_up.data<float>() + out.dim(1),
                                          .out = out.data<float>(),
                                          .gate_up_stride = gate_up.row_stride(),
                                          .out_stride = out.row_stride(),
                                          .rows = out.dim(0),
                                          .size = out.dim(1),
                                          .activation = activation});
}

}  // namespace lmdeploy
