#include "kernels/softcap.h"

#include <cmath>

#include "tests/kernels/op_test_support.h"

namespace lmdeploy {
namespace {

// Rows that are parts of wider ones, of sizes around a thread's share and no whole vectors.
TEST(Softcap, CapsEveryElementOfStridedRows) {
  for (const std::string& isa : test::op_isas()) {
    SCOPED_TRACE(isa);
    test::CpuRun cpu(3, isa);
    for (int64_t columns : {1, 37, 16384, 50001}) {
      constexpr int64_t kRows = 3, kOther = 5;
      Tensor wide = test::normal_tensor(Shape{kRows, columns + kOther}, 1, 40);
      const Tensor before = test::normal_tensor(Shape{kRows, columns + kOther}, 1, 40);
      softcap(cpu.ctx, wide.view().columns(0, columns), 30.0f);
      for (int64_t r = 0; r < kRows; ++r) {
        const float* got = wide.view().row<float>(r);
        const float* x = before.view().row<float>(r);
        for (int64_t i = 0; i < columns; ++i) {
          ASSERT_NEAR(got[i], 30 * std::tanh(x[i] / 30.0), 1e-5) << r << ", " << i;
        }
        for (int64_t i = columns; i < columns + kOther; ++i) ASSERT_EQ(got[i], x[i]);
      }
    }
  }
}

}  // namespace
}  // namespace lmdeploy
