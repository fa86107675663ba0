// The activation without a gate against the gated one beside ones; and scale, on strided rows.
#include "kernels/apply_activation.h"

#include <cmath>

#include "kernels/gated_activation.h"
#include "kernels/scale.h"
#include "tests/kernels/op_test_support.h"

namespace lmdeploy {
namespace {

class ApplyActivationTest : public testing::TestWithParam<std::string> {
 protected:
  test::CpuRun cpu{2, GetParam()};
};

TEST_P(ApplyActivationTest, EqualsTheGatedOneBesideOnes) {
  for (Activation activation : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh}) {
    for (int64_t size : {1, 15, 17, 1536}) {
      constexpr int64_t kRows = 70;
      Tensor gate_up(Shape{kRows, 2 * size}, DType::kF32), want(Shape{kRows, size}, DType::kF32);
      Tensor x(Shape{kRows, size + 3}, DType::kF32);
      for (int64_t r = 0; r < kRows; ++r) {
        float* gate = gate_up.view().row<float>(r);
        test::fill_normal(gate, size, static_cast<uint64_t>(r), 3);
        std::fill(gate + size, gate + 2 * size, 1.0f);
        std::copy(gate, gate + size, x.view().row<float>(r));
        x.view().row<float>(r)[size] = 7.0f;
      }
      gated_activation(cpu.ctx, gate_up, activation, want);
      apply_activation(cpu.ctx, x.view().columns(0, size), activation);
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t i = 0; i < size; ++i) {
          ASSERT_EQ(x.view().row<float>(r)[i], want.view().row<float>(r)[i]);
        }
        ASSERT_EQ(x.view().row<float>(r)[size], 7.0f);
      }
    }
  }
}

TEST_P(ApplyActivationTest, ScaleMultipliesRowsAlone) {
  Tensor x = test::normal_tensor(Shape{5, 1003}, 1);
  const Tensor before = test::normal_tensor(Shape{5, 1003}, 1);
  scale(cpu.ctx, x.view().columns(1, 1001), 0.3f);
  for (int64_t r = 0; r < 5; ++r) {
    for (int64_t i = 0; i < 1003; ++i) {
      const float factor = i == 0 || i == 1002 ? 1.0f : 0.3f;
      ASSERT_EQ(x.view().row<float>(r)[i], before.view().row<float>(r)[i] * factor);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, ApplyActivationTest, testing::ValuesIn(test::op_isas()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lmdeploy
