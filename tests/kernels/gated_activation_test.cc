#include "kernels/gated_activation.h"

#include <cmath>

#include "tests/kernels/op_test_support.h"

namespace lmdeploy {
namespace {

using test::CpuRun;

double exact(Activation activation, double x) {
  if (activation == Activation::kSilu) return x / (1 + std::exp(-x));
  if (activation == Activation::kGelu) return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

class GatedActivationTest : public testing::TestWithParam<std::string> {
 protected:
  CpuRun cpu{2, GetParam()};
};

// Every gate from -20 to 20 and the far ends: within a few ulp of the exact value.
TEST_P(GatedActivationTest, RelativeErrorIsSmallEverywhere) {
  std::vector<float> gates;
  for (double x = -20; x <= 20; x += 0.00371) gates.push_back(static_cast<float>(x));
  for (float x : {0.0f, -0.0f, 1e-30f, -1e-20f, 88.0f, 90.0f, 1000.0f, 3e38f}) gates.push_back(x);
  const int64_t size = static_cast<int64_t>(gates.size());
  for (Activation activation : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh}) {
    Tensor gate_up(Shape{1, 2 * size}, DType::kF32), out(Shape{1, size}, DType::kF32);
    std::copy(gates.begin(), gates.end(), gate_up.data<float>());
    std::fill(gate_up.data<float>() + size, gate_up.data<float>() + 2 * size, 1.0f);
    gated_activation(cpu.ctx, gate_up, activation, out);
    double worst = 0;
    for (int64_t i = 0; i < size; ++i) {
      const double want = exact(activation, gates[static_cast<size_t>(i)]);
      // Rounding u costs |u| ulp where the result is a tail: compare there by value.
      const double floor = activation == Activation::kGeluTanh ? 1e-2 : 1e-30;
      worst = std::max(worst,
                       std::fabs(out.data<float>()[i] - want) / std::max(std::fabs(want), floor));
    }
    EXPECT_LT(worst, 7e-7) << "activation " << static_cast<int>(activation);
  }
  Tensor far(Shape{1, 6}, DType::kF32), out(Shape{1, 3}, DType::kF32);
  for (int i = 0; i < 6; ++i)
    far.data<float>()[i] = i < 3 ? -100.0f * static_cast<float>(i + 1) : 1.0f;
  for (Activation activation : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh}) {
    gated_activation(cpu.ctx, far, activation, out);
    for (int i = 0; i < 3; ++i) EXPECT_NEAR(out.data<float>()[i], 0, 1e-30);
  }
}

TEST_P(GatedActivationTest, RowsAndTails) {
  for (int64_t size : {1, 15, 17, 1536}) {
    for (int64_t rows : {1, 5, 200}) {
      const Tensor gate_up = test::normal_tensor(Shape{rows, 2 * size}, 3, 3);
      Tensor out(Shape{rows, size}, DType::kF32);
      gated_activation(cpu.ctx, gate_up, Activation::kSilu, out);
      for (int64_t r = 0; r < rows; ++r) {
        const float* row = gate_up.view().row<float>(r);
        for (int64_t i = 0; i < size; ++i) {
          const double want = exact(Activation::kSilu, row[i]) * row[size + i];
          ASSERT_NEAR(out.view().row<float>(r)[i], want, 1e-6 * (std::fabs(want) + 1e-3));
        }
      }
    }
  }
}

TEST_P(GatedActivationTest, ClampedSwigluClampsGateAboveAndUpOnBothSides) {
  const int64_t size = 1003;
  const Tensor gate_up = test::normal_tensor(Shape{1, 2 * size}, 5, 8);
  Tensor out(Shape{1, size}, DType::kF32);
  gated_activation(cpu.ctx, gate_up, Activation::kClampedSwiglu, out);
  int clamped = 0;
  for (int64_t i = 0; i < size; ++i) {
    const double gate = std::min(gate_up.data<float>()[i], 7.0f);
    const double up = std::clamp(gate_up.data<float>()[size + i], -7.0f, 7.0f);
    const double want = (up + 1) * gate / (1 + std::exp(-double{1.702f} * gate));
    ASSERT_NEAR(out.data<float>()[i], want, 2e-6 * (std::fabs(want) + 1e-3)) << gate << " " << up;
    clamped += gate == 7.0 || std::fabs(up) == 7.0 ? 1 : 0;
  }
  EXPECT_GT(clamped, size / 4);
}

INSTANTIATE_TEST_SUITE_P(Isa, GatedActivationTest, testing::ValuesIn(test::op_isas()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lmdeploy
