#include "kernels/rms_norm.h"

#include <cmath>

#include "tests/kernels/op_test_support.h"

namespace lmdeploy {
namespace {

using test::CpuRun;
using test::normal_tensor;

constexpr float kEps = 1e-5f;

std::vector<double> norm(const std::vector<double>& x, const Tensor& weight) {
  double square = 0;
  for (double v : x) square += v * v;
  std::vector<double> out;
  for (size_t i = 0; i < x.size(); ++i) {
    out.push_back(x[i] / std::sqrt(square / static_cast<double>(x.size()) + kEps) *
                  weight.data<float>()[i]);
  }
  return out;
}

std::vector<double> row_of(const TensorView& x, int64_t row) {
  return {x.row<float>(row), x.row<float>(row) + x.dim(1)};
}

void expect_row(const TensorView& got, int64_t row, const std::vector<double>& want) {
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(got.row<float>(row)[i], want[i], 2e-6 * (std::fabs(want[i]) + 1))
        << "row " << row << " column " << i;
  }
}

class NormTest : public testing::TestWithParam<std::string> {
 protected:
  CpuRun cpu{2, GetParam()};
};

TEST_P(NormTest, AllThreeAgainstFp64) {
  for (int64_t size : {1, 7, 16, 63, 576, 2048, 5000}) {
    for (int64_t rows : {1, 3, 150}) {
      const Tensor residual = normal_tensor(Shape{rows, size}, 1, 3),
                   delta = normal_tensor(Shape{rows, size}, 2, 2);
      const Tensor weight = normal_tensor(Shape{size}, 3), post = normal_tensor(Shape{size}, 4);
      Tensor out(Shape{rows, size}, DType::kF32), added = normal_tensor(Shape{rows, size}, 1, 3),
                                                  sandwich = normal_tensor(Shape{rows, size}, 1, 3);
      rms_norm(cpu.ctx, residual, weight, kEps, out);
      for (int64_t r = 0; r < rows; ++r) expect_row(out, r, norm(row_of(residual, r), weight));
      add_rms_norm(cpu.ctx, added, delta, weight, kEps, out);
      for (int64_t r = 0; r < rows; ++r) {
        std::vector<double> sum = row_of(residual, r);
        for (size_t i = 0; i < sum.size(); ++i) sum[i] += delta.view().row<float>(r)[i];
        expect_row(added, r, sum);
        expect_row(out, r, norm(sum, weight));
      }
      sandwich_rms_norm(cpu.ctx, sandwich, delta, post, weight, kEps, out);
      for (int64_t r = 0; r < rows; ++r) {
        std::vector<double> sum = row_of(residual, r);
        const std::vector<double> normed = norm(row_of(delta, r), post);
        for (size_t i = 0; i < sum.size(); ++i) sum[i] += normed[i];
        expect_row(sandwich, r, sum);
        expect_row(out, r, norm(sum, weight));
      }
    }
  }
}

TEST_P(NormTest, InPlaceAndOnStridedRows) {
  Tensor wide = normal_tensor(Shape{40, 700}, 5, 2);
  const Tensor weight = normal_tensor(Shape{576}, 6);
  const TensorView x = wide.view().columns(100, 576);
  Tensor want(Shape{40, 576}, DType::kF32);
  rms_norm(cpu.ctx, x, weight, kEps, want);
  const float left = wide.data<float>()[99], right = wide.data<float>()[676];
  rms_norm(cpu.ctx, x, weight, kEps, x);
  for (int64_t r = 0; r < 40; ++r) {
    for (int64_t i = 0; i < 576; ++i) ASSERT_EQ(x.row<float>(r)[i], want.view().row<float>(r)[i]);
  }
  EXPECT_EQ(wide.data<float>()[99], left);
  EXPECT_EQ(wide.data<float>()[676], right);
}

TEST_P(NormTest, RowDoesNotDependOnCompanyAndNoRowsAreFine) {
  const Tensor x = normal_tensor(Shape{300, 577}, 7), weight = normal_tensor(Shape{577}, 8);
  Tensor all(Shape{300, 577}, DType::kF32), one(Shape{1, 577}, DType::kF32);
  rms_norm(cpu.ctx, x, weight, kEps, all);
  for (int64_t r : {0, 1, 150, 299}) {
    rms_norm(cpu.ctx, x.view().rows(r, 1), weight, kEps, one);
    for (int64_t i = 0; i < 577; ++i) ASSERT_EQ(one.data<float>()[i], all.view().row<float>(r)[i]);
  }
  rms_norm(cpu.ctx, x.view().rows(0, 0), weight, kEps, all.view().rows(0, 0));
}

TEST(NormDeathTest, NamesOpGotAndExpected) {
  CpuRun cpu(1, "scalar");
  const Tensor x = normal_tensor(Shape{2, 8}, 1), weight = normal_tensor(Shape{9}, 1);
  EXPECT_DEATH(rms_norm(cpu.ctx, x, weight, kEps, x),
               "rms_norm: weight is f32 \\[9\\]; expected f32 \\[8\\]");
}

INSTANTIATE_TEST_SUITE_P(Isa, NormTest, testing::ValuesIn(test::op_isas()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lmdeploy
