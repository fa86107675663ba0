// Routing rules against their formulas in fp64.
#include "kernels/moe_route.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/kernels/moe_reference.h"

namespace lmdeploy {
namespace {

struct Routed {
  Tensor ids, weights;
};

Routed route(const Tensor& logits, const Tensor& correction, const MoeRouting& routing) {
  test::CpuRun cpu(2, "scalar");
  Routed out{Tensor(Shape{logits.shape()[0], routing.top_k}, DType::kI32),
             Tensor(Shape{logits.shape()[0], routing.top_k}, DType::kF32)};
  moe_route(cpu.ctx, logits, correction, routing, out.ids, out.weights);
  return out;
}

TEST(MoeRoute, EveryRuleFollowsItsFormula) {
  for (const test::RoutingCase& c : test::routing_cases()) {
    SCOPED_TRACE(c.name);
    const Tensor logits = test::normal_tensor(Shape{67, c.experts}, 11, 2);
    const Tensor correction =
        c.corrected ? test::normal_tensor(Shape{c.experts}, 12, 0.3) : Tensor();
    const Routed got = route(logits, correction, c.routing);
    for (int64_t t = 0; t < 67; ++t) {
      const auto want =
          test::routed(logits.view().row<float>(t), c.experts, correction.data<float>(), c.routing);
      for (size_t k = 0; k < want.size(); ++k) {
        ASSERT_EQ(got.ids.view().row<int32_t>(t)[k], want[k].expert) << t << ", " << k;
        ASSERT_NEAR(got.weights.view().row<float>(t)[k], want[k].weight, 1e-6) << t << ", " << k;
      }
    }
  }
}

TEST(MoeRoute, OfEqualScoresTheLowerExpertIsChosen) {
  Tensor logits(Shape{1, 6}, DType::kF32);
  const float values[] = {1, 3, 2, 3, 2, 3};
  std::copy_n(values, 6, logits.data<float>());
  const Routed got = route(logits, {}, {.top_k = 4, .renormalize = true});
  const int32_t want[] = {1, 3, 5, 2};
  for (int k = 0; k < 4; ++k) EXPECT_EQ(got.ids.data<int32_t>()[k], want[k]);
}

TEST(MoeRoute, SoftmaxOfTheChosenLogitsIsRenormalizedSoftmax) {
  const Tensor logits = test::normal_tensor(Shape{1, 32}, 3, 3);
  const Routed got = route(logits, {}, {.top_k = 4, .renormalize = true});
  double sum = 0;
  const int32_t* ids = got.ids.data<int32_t>();
  for (int k = 0; k < 4; ++k) sum += std::exp(double{logits.data<float>()[ids[k]]});
  for (int k = 0; k < 4; ++k) {
    EXPECT_NEAR(got.weights.data<float>()[k], std::exp(logits.data<float>()[ids[k]]) / sum, 1e-6);
  }
}

TEST(MoeRouteDeath, MoreExpertsThanTheKeptGroupsHold) {
  const Tensor logits = test::normal_tensor(Shape{1, 16}, 3);
  EXPECT_DEATH(route(logits, {}, {.top_k = 6, .groups = 4, .kept_groups = 1}), "6 of 4 experts");
}

}  // namespace
}  // namespace lmdeploy
