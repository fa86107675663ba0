#include "kernels/clamp.h"

#include <algorithm>
#include <cmath>

#include "tests/kernels/op_test_support.h"

namespace lmdeploy {
namespace {

// Rows that are parts of wider ones.
TEST(Clamp, BoundsEveryElementOfStridedRows) {
  test::CpuRun cpu(3, "scalar");
  for (int64_t columns : {1, 37, 50001}) {
    constexpr int64_t kRows = 3, kOther = 5;
    Tensor wide = test::normal_tensor(Shape{kRows, columns + kOther}, 1, 40);
    wide.data<float>()[0] = NAN;
    const Tensor before = test::normal_tensor(Shape{kRows, columns + kOther}, 1, 40);
    clamp(cpu.ctx, wide.view().columns(0, columns), 8.0f);
    EXPECT_TRUE(std::isnan(wide.data<float>()[0]));
    for (int64_t i = 1; i < wide.shape().numel(); ++i) {
      const float x = before.data<float>()[i];
      const bool outside = i % (columns + kOther) >= columns;
      ASSERT_EQ(wide.data<float>()[i], outside ? x : std::clamp(x, -8.0f, 8.0f)) << i;
    }
  }
}

}  // namespace
}  // namespace lmdeploy
