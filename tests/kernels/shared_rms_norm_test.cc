#include "kernels/shared_rms_norm.h"

#include "kernels/rms_norm.h"
#include "tests/kernels/op_test_support.h"

namespace lmdeploy {
namespace {

// Parts of rows of 96 elements, normed by the sum of their sums, are the norm of the whole rows.
TEST(SharedRmsNorm, PartsAreTheNormOfTheWhole) {
  test::CpuRun cpu(2, "scalar");
  constexpr int64_t kRows = 5, kColumns = 96;
  constexpr float kEps = 0.5f;  // large enough to be seen
  const int64_t begins[] = {0, 32, 96};
  const Tensor whole = test::normal_tensor(Shape{kRows, kColumns}, 1, 2);
  const Tensor parts = test::normal_tensor(Shape{kRows, kColumns}, 1, 2);
  const Tensor weight = test::normal_tensor(Shape{kColumns}, 2, 1);
  rms_norm(cpu.ctx, whole.view(), weight.view(), kEps, whole.view());

  Tensor sums(Shape{kRows, 2}, DType::kF32), total(Shape{kRows, 1}, DType::kF32);
  const auto part = [&](int i) {
    return parts.view().columns(begins[i], begins[i + 1] - begins[i]);
  };
  for (int i : {0, 1}) sum_of_squares(cpu.ctx, part(i), sums.view().columns(i, 1));
  for (int64_t row = 0; row < kRows; ++row) {
    *total.view().row<float>(row) = sums.view().row<float>(row)[0] + sums.view().row<float>(row)[1];
  }
  for (int i : {0, 1}) {
    const TensorView own = weight.view().rows(begins[i], part(i).dim(1));
    scale_by_rms(cpu.ctx, total.view(), kColumns, own, kEps, part(i));
  }
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t i = 0; i < kColumns; ++i) {
      EXPECT_NEAR(parts.view().row<float>(row)[i], whole.view().row<float>(row)[i], 1e-5);
    }
  }
}

}  // namespace
}  // namespace lmdeploy
