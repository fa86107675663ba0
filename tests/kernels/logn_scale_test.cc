#include "kernels/logn_scale.h"

#include <cmath>

#include "tests/kernels/op_test_support.h"

namespace lmdeploy {
namespace {

TEST(LognScale, LengthensTheQueriesBeyondTheLength) {
  test::CpuRun cpu(2, "scalar");
  constexpr int64_t kColumns = 5, kOther = 3;
  Tensor positions(Shape{4}, DType::kI32);
  const int32_t at[] = {0, 31, 32, 1000};  // the 32nd token is the last within the length
  std::copy(std::begin(at), std::end(at), positions.data<int32_t>());
  Tensor wide = test::normal_tensor(Shape{4, kColumns + kOther}, 1, 2);
  const Tensor before = test::normal_tensor(Shape{4, kColumns + kOther}, 1, 2);
  logn_scale(cpu.ctx, positions, 32, wide.view().columns(0, kColumns));
  const double factors[] = {1, 1, std::log(33.0) / std::log(32.0), std::log(1001.0) / std::log(32.0)};
  for (int64_t row = 0; row < 4; ++row) {
    for (int64_t i = 0; i < kColumns + kOther; ++i) {
      const double factor = i < kColumns ? factors[row] : 1.0;
      EXPECT_NEAR(wide.view().row<float>(row)[i], before.view().row<float>(row)[i] * factor, 1e-5);
    }
  }
}

}  // namespace
}  // namespace lmdeploy
