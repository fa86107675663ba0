#include "kernels/cuda/moe_route.h"

#include "kernels/cuda/moe_route_launch.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

void moe_route(Ctx& ctx, const TensorView& logits, const TensorView& correction,
               const MoeRouting& routing, const TensorView& ids, const TensorView& weights) {
  if (logits.dim(0) == 0) return;
  auto& stream = static_cast<CudaStream&>(ctx.stream);
  const DeviceGuard guard(stream.device().index);
  const MoeRouteLaunch route{.logits = logits.data<float>(),
                             .correction = correction.data<float>(),
                             .ids = ids.data<int32_t>(),
                             .weights = weights.data<float>(),
                             .logits_stride = logits.row_stride(),
                             .ids_stride = ids.row_stride(),
                             .weights_stride = weights.row_stride(),
                             .tokens = logits.dim(0),
                             .experts = static_cast<int>(logits.dim(1)),
                             .top_k = routing.top_k,
                             .groups = routing.groups,
                             .kept_groups = routing.kept_groups,
                             .scale = routing.scale,
                             .sigmoid = routing.scores == MoeScores::kSigmoid,
                             .renormalize = routing.renormalize,
                             .group_by_two = routing.group_score == MoeGroupScore::kTwoLargest};
  stream.launched("moe_route", launch_moe_route(route, stream.handle()));
}

}  // namespace lmdeploy::cuda
