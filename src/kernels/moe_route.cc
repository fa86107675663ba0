#include "kernels/moe_route.h"

#include "kernels/cpu/moe_route.h"
#include "kernels/cuda/moe_route.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

namespace {

void check(Ctx& ctx, const TensorView& logits, const TensorView& correction,
           const MoeRouting& routing, const TensorView& ids, const TensorView& weights) {
  constexpr const char* kOp = "moe_route";
  check_view(ctx, kOp, "logits", logits, DType::kF32, {kAnySize, kAnySize});
  const int64_t tokens = logits.dim(0), experts = logits.dim(1);
  CHECK(experts >= 1 && experts <= kMaxExperts, "moe_route: {} experts; expected 1 to {}", experts,
        kMaxExperts);
  CHECK(routing.groups >= 1 && experts % routing.groups == 0 && routing.kept_groups >= 1 &&
            routing.kept_groups <= routing.groups,
        "moe_route: {} of {} groups of {} experts", routing.kept_groups, routing.groups, experts);
  const int64_t candidates = experts / routing.groups * routing.kept_groups;
  CHECK(routing.top_k >= 1 && routing.top_k <= kMaxExpertsPerToken && routing.top_k <= candidates,
        "moe_route: {} of {} experts; expected 1 to {}", routing.top_k, candidates,
        kMaxExpertsPerToken);
  check_optional_view(ctx, kOp, "correction", correction, DType::kF32, {experts});
  check_view(ctx, kOp, "ids", ids, DType::kI32, {tokens, routing.top_k});
  check_view(ctx, kOp, "weights", weights, DType::kF32, {tokens, routing.top_k});
}

}  // namespace

void moe_route(Ctx& ctx, const TensorView& logits, const TensorView& correction,
               const MoeRouting& routing, const TensorView& ids, const TensorView& weights) {
  check(ctx, logits, correction, routing, ids, weights);
  if (!ctx.on_cpu()) return cuda::moe_route(ctx, logits, correction, routing, ids, weights);
  cpu::moe_route(cpu_stream(ctx), {.logits = logits.data<float>(),
                                   .correction = correction.data<float>(),
                                   .ids = ids.data<int32_t>(),
                                   .weights = weights.data<float>(),
                                   .logits_stride = logits.row_stride(),
                                   .ids_stride = ids.row_stride(),
                                   .weights_stride = weights.row_stride(),
                                   .tokens = logits.dim(0),
                                   .experts = static_cast<int>(logits.dim(1)),
                                   .routing = routing});
}

}  // namespace lmdeploy
