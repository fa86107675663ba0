#include "kernels/apply_activation.h"

#include "kernels/cpu/apply_activation.h"
#include "kernels/cuda/row_map.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

void apply_activation(Ctx& ctx, const TensorView& x, Activation activation) {
  const DType dtype = activation_dtype(ctx, "apply_activation", x);
  check_view(ctx, "apply_activation", "x", x, dtype, {kAnySize, kAnySize});
  CHECK(activation == Activation::kSilu || activation == Activation::kGelu ||
            activation == Activation::kGeluTanh,
        "apply_activation: activation {} needs a gate", static_cast<int>(activation));
  if (!ctx.on_cpu()) return cuda::apply_activation(ctx, x, activation);
  cpu::apply_activation(cpu_stream(ctx), x.data<float>(), x.row_stride(), x.dim(0), x.dim(1),
                        activation);
}

}  // namespace lmdeploy
