// CUDA routing against the formulas in fp64.
#include "kernels/moe_route.h"

#include "tests/kernels/cuda/cuda_test_support.h"
#include "tests/kernels/moe_reference.h"

namespace lmdeploy {
namespace {

class CudaMoeRoute : public testing::Test {
 protected:
  // ids and weights on the host.
  std::pair<Tensor, Tensor> route(const Tensor& logits, const Tensor& correction,
                                  const MoeRouting& routing) {
    const Shape shape{logits.shape()[0], routing.top_k};
    const Tensor ids(shape, DType::kI32, test::CudaRun::kDevice),
        weights(shape, DType::kF32, test::CudaRun::kDevice);
    const Tensor gpu_logits = test::to_gpu(logits);
    const Tensor gpu_correction = correction.empty() ? Tensor() : test::to_gpu(correction);
    Ctx ctx = gpu_.ctx();
    moe_route(ctx, gpu_logits, gpu_correction, routing, ids, weights);
    gpu_.stream().synchronize();
    return {test::to_host(ids), test::to_host(weights)};
  }
  test::CudaRun gpu_;
};

TEST_F(CudaMoeRoute, EveryRuleFollowsItsFormula) {
  for (const test::RoutingCase& c : test::routing_cases()) {
    SCOPED_TRACE(c.name);
    for (int64_t tokens : {1, 67}) {
      const Tensor logits = test::normal_tensor(Shape{tokens, c.experts}, 11, 2);
      const Tensor correction =
          c.corrected ? test::normal_tensor(Shape{c.experts}, 12, 0.3) : Tensor();
      const auto [ids, weights] = route(logits, correction, c.routing);
      for (int64_t t = 0; t < tokens; ++t) {
        const auto want = test::routed(logits.view().row<float>(t), c.experts,
                                       correction.data<float>(), c.routing);
        for (size_t k = 0; k < want.size(); ++k) {
          ASSERT_EQ(ids.view().row<int32_t>(t)[k], want[k].expert) << t << ", " << k;
          ASSERT_NEAR(weights.view().row<float>(t)[k], want[k].weight, 2e-6 * c.routing.scale);
        }
      }
    }
  }
}

TEST_F(CudaMoeRoute, OfEqualScoresTheLowerExpertIsChosen) {
  Tensor logits(Shape{1, 70}, DType::kF32);
  for (int64_t e : {69, 40, 8, 3}) logits.data<float>()[e] = 5;
  const auto [ids, weights] = route(logits, {}, {.top_k = 5});
  const int32_t want[] = {3, 8, 40, 69, 0};
  for (int k = 0; k < 5; ++k) EXPECT_EQ(ids.data<int32_t>()[k], want[k]);
}

TEST_F(CudaMoeRoute, NaNLogitsStillNameExperts) {
  Tensor logits(Shape{1, 20}, DType::kF32);
  for (int64_t e = 0; e < 20; ++e) logits.data<float>()[e] = NAN;
  for (const MoeRouting& routing :
       {MoeRouting{.top_k = 3}, MoeRouting{.top_k = 3, .groups = 4, .kept_groups = 2}}) {
    const auto [ids, weights] = route(logits, {}, routing);
    for (int k = 0; k < 3; ++k) {
      EXPECT_GE(ids.data<int32_t>()[k], 0);
      EXPECT_LT(ids.data<int32_t>()[k], 20);
    }
  }
}

}  // namespace
}  // namespace lmdeploy
