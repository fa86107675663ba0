#include "kernels/moe_mlp.h"

#include <algorithm>

#include "kernels/cpu/moe_mlp.h"
#include "kernels/cuda/moe_mlp.h"
#include "kernels/gated_mlp.h"
#include "kernels/gather_rows.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

namespace {

constexpr const char* kOp = "moe_mlp";

void check(Ctx& ctx, const TensorView& x, const TensorView& ids, const TensorView& weights,
           const MoeExperts& experts, const MoeShared& shared, const TensorView& out) {
  const DType dtype = activation_dtype(ctx, kOp, x);
  const ExpertMatrices& gate_up = experts.gate_up;
  const ExpertMatrices& down = experts.down;
  const auto parts = static_cast<size_t>(ctx.on_cpu() ? gate_up.experts : 1);
  CHECK(gate_up.experts >= 1 && down.experts == gate_up.experts && gate_up.parts.size() == parts &&
            down.parts.size() == parts && gate_up.n == 2 * down.k && gate_up.k == down.n,
        "moe_mlp: gate and up are {} x [{}, {}] in {} parts, down {} x [{}, {}] in {}",
        gate_up.experts, gate_up.n, gate_up.k, gate_up.parts.size(), down.experts, down.n, down.k,
        down.parts.size());
  check_view(ctx, kOp, "x", x, dtype, {kAnySize, down.n});
  check_view(ctx, kOp, "ids", ids, DType::kI32, {x.dim(0), kAnySize});
  check_view(ctx, kOp, "weights", weights, DType::kF32, {x.dim(0), ids.dim(1)});
  CHECK(ids.contiguous() && weights.contiguous(), "moe_mlp: rows of ids or weights have gaps");
  check_view(ctx, kOp, "out", out, dtype, {x.dim(0), down.n});
  check_optional_view(ctx, kOp, "gate_up_bias", experts.gate_up_bias, DType::kF32,
                      {gate_up.experts, gate_up.n});
  check_optional_view(ctx, kOp, "down_bias", experts.down_bias, DType::kF32,
                      {down.experts, down.n});
  check_optional_view(ctx, kOp, "shared rows", shared.rows, dtype, {x.dim(0), down.n});
  check_optional_view(ctx, kOp, "shared gate", shared.gate, DType::kF32, {x.dim(0), 1});
}

TensorView bias_of(const TensorView& biases, int expert) {
  if (biases.empty()) return {};
  return TensorView(biases.row<float>(expert), DType::kF32, Shape{biases.dim(1)}, biases.device());
}

// The rows of `expert` from x, which `order` lists, through its MLP.
void run_expert(Ctx& ctx, const TensorView& x, const TensorView& tokens, const MoeExperts& experts,
                int expert, const TensorView& out) {
  ArenaScope scope(ctx.scratch);
  TensorView rows = x;
  if (x.dim(0) > 1 || tokens.dim(0) > 1) {  // one token may be listed twice, where its scores are NaN
    rows = ctx.scratch.allocate(Shape{tokens.dim(0), x.dim(1)}, DType::kF32);
    gather_rows(ctx, x, tokens, rows);
  }
  const auto part = static_cast<size_t>(expert);
  gated_mlp(ctx, rows, experts.gate_up.parts[part], bias_of(experts.gate_up_bias, expert),
            experts.activation, experts.down.parts[part], bias_of(experts.down_bias, expert), out);
}

}  // namespace

void moe_mlp(Ctx& ctx, const TensorView& x, const TensorView& ids, const TensorView& weights,
             const MoeExperts& experts, const MoeShared& shared, const TensorView& out,
             MatmulEpilogue epilogue) {
  check(ctx, x, ids, weights, experts, shared, out);
  if (x.dim(0) == 0) return;
  if (!ctx.on_cpu()) {
    return cuda::moe_mlp(ctx, x, ids, weights, experts, shared, out, epilogue);
  }
  ArenaScope scope(ctx.scratch);
  const int64_t pairs = ids.dim(0) * ids.dim(1);
  const cpu::ExpertOrder order{
      .first = ctx.scratch.allocate<int32_t>(experts.down.experts + 1),
      .tokens = ctx.scratch.allocate<int32_t>(pairs),
      .places = ctx.scratch.allocate<int32_t>(pairs),
  };
  cpu::order_by_expert(ids.data<int32_t>(), pairs, static_cast<int>(ids.dim(1)),
                       experts.down.experts, order);
  const TensorView results = ctx.scratch.allocate(Shape{pairs, x.dim(1)}, DType::kF32);
  for (int e = 0; e < experts.down.experts; ++e) {
    const int32_t begin = order.first[e], count = order.first[e + 1] - begin;
    if (count == 0) continue;
    const TensorView tokens(order.tokens + begin, DType::kI32, Shape{count});
    run_expert(ctx, x, tokens, experts, e, results.rows(begin, count));
  }
  cpu::combine_experts(cpu_stream(ctx),
                       {.results = results.data<float>(),
                        .places = order.places,
                        .weights = weights.data<float>(),
                        .shared = shared.rows.data<float>(),
                        .shared_gate = shared.gate.data<float>(),
                        .out = out.data<float>(),
                        .shared_stride = shared.rows.row_stride(),
                        .shared_gate_stride = shared.gate.row_stride(),
                        .out_stride = out.row_stride(),
                        .tokens = x.dim(0),
                        .size = x.dim(1),
                        .top_k = static_cast<int>(ids.dim(1)),
                        .add = epilogue == MatmulEpilogue::kAdd});
}

}  // namespace lmdeploy
