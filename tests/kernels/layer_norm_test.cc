#include "kernels/layer_norm.h"

#include <cmath>

#include "tests/kernels/op_test_support.h"

namespace lmdeploy {
namespace {

using test::CpuRun;
using test::normal_tensor;

constexpr float kEps = 1e-5f;

// x[first, first + size) normed, in fp64.
std::vector<double> norm(const std::vector<double>& x, size_t first, size_t size,
                         const Tensor& weight, const Tensor& bias) {
  double mean = 0, square = 0;
  for (size_t i = 0; i < size; ++i) mean += x[first + i] / static_cast<double>(size);
  for (size_t i = 0; i < size; ++i) square += (x[first + i] - mean) * (x[first + i] - mean);
  std::vector<double> out;
  for (size_t i = 0; i < size; ++i) {
    const double normed =
        (x[first + i] - mean) / std::sqrt(square / static_cast<double>(size) + kEps);
    out.push_back(normed * weight.data<float>()[first + i] +
                  (bias.bytes() == 0 ? 0.0 : bias.data<float>()[first + i]));
  }
  return out;
}

std::vector<double> row_of(const TensorView& x, int64_t row) {
  return {x.row<float>(row), x.row<float>(row) + x.dim(1)};
}

void expect_part(const TensorView& got, int64_t row, size_t first,
                 const std::vector<double>& want) {
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(got.row<float>(row)[first + i], want[i], 3e-6 * (std::fabs(want[i]) + 1))
        << "row " << row << " column " << first + i;
  }
}

class LayerNormTest : public testing::TestWithParam<std::string> {
 protected:
  CpuRun cpu{2, GetParam()};
};

TEST_P(LayerNormTest, AgainstFp64) {
  for (int64_t size : {1, 7, 16, 63, 576, 2048, 5000}) {
    for (int64_t rows : {1, 3, 150}) {
      const Tensor residual = normal_tensor(Shape{rows, size}, 1, 3),
                   delta = normal_tensor(Shape{rows, size}, 2, 2);
      const Tensor weight = normal_tensor(Shape{size}, 3), bias = normal_tensor(Shape{size}, 4);
      Tensor out(Shape{rows, size}, DType::kF32), added = normal_tensor(Shape{rows, size}, 1, 3);
      const auto whole = static_cast<size_t>(size);
      layer_norm(cpu.ctx, residual, weight, bias, kEps, out);
      for (int64_t r = 0; r < rows; ++r) {
        expect_part(out, r, 0, norm(row_of(residual, r), 0, whole, weight, bias));
      }
      add_layer_norm(cpu.ctx, added, delta, weight, TensorView(), kEps, out);
      for (int64_t r = 0; r < rows; ++r) {
        std::vector<double> sum = row_of(residual, r);
        for (size_t i = 0; i < whole; ++i) sum[i] += delta.view().row<float>(r)[i];
        expect_part(added, r, 0, sum);
        expect_part(out, r, 0, norm(sum, 0, whole, weight, Tensor()));
      }
    }
  }
}

TEST_P(LayerNormTest, AMeanFarFromZeroCostsNoDigits) {
  Tensor x = normal_tensor(Shape{2, 1000}, 1);
  for (int64_t i = 0; i < 2000; ++i) x.data<float>()[i] += 1000.0f;
  const Tensor weight = normal_tensor(Shape{1000}, 2);
  Tensor out(Shape{2, 1000}, DType::kF32);
  layer_norm(cpu.ctx, x, weight, TensorView(), kEps, out);
  const std::vector<double> want = norm(row_of(x, 1), 0, 1000, weight, Tensor());
  for (size_t i = 0; i < 1000; ++i) {
    ASSERT_NEAR(out.view().row<float>(1)[i], want[i], 5e-4) << i;
  }
}

TEST_P(LayerNormTest, HeadsOfStridedRowsInPlace) {
  constexpr int64_t kHeads = 3, kSize = 70;
  Tensor wide = normal_tensor(Shape{40, 300}, 5, 2);
  const Tensor before = normal_tensor(Shape{40, 300}, 5, 2);
  const Tensor weight = normal_tensor(Shape{kHeads, kSize}, 6);
  const TensorView x = wide.view().columns(20, kHeads * kSize);
  head_layer_norm(cpu.ctx, x, weight, kEps, x);
  for (int64_t r = 0; r < 40; ++r) {
    const std::vector<double> row = row_of(before.view().columns(20, kHeads * kSize), r);
    for (size_t first = 0; first < kHeads * kSize; first += kSize) {
      expect_part(x, r, first, norm(row, first, kSize, weight, Tensor()));
    }
  }
  EXPECT_EQ(wide.data<float>()[19], before.data<float>()[19]);
  EXPECT_EQ(wide.data<float>()[20 + kHeads * kSize], before.data<float>()[20 + kHeads * kSize]);
}

TEST_P(LayerNormTest, RowDoesNotDependOnCompanyAndNoRowsAreFine) {
  const Tensor x = normal_tensor(Shape{300, 577}, 7), weight = normal_tensor(Shape{577}, 8);
  Tensor all(Shape{300, 577}, DType::kF32), one(Shape{1, 577}, DType::kF32);
  layer_norm(cpu.ctx, x, weight, TensorView(), kEps, all);
  for (int64_t r : {0, 1, 150, 299}) {
    layer_norm(cpu.ctx, x.view().rows(r, 1), weight, TensorView(), kEps, one);
    for (int64_t i = 0; i < 577; ++i) ASSERT_EQ(one.data<float>()[i], all.view().row<float>(r)[i]);
  }
  layer_norm(cpu.ctx, x.view().rows(0, 0), weight, TensorView(), kEps, all.view().rows(0, 0));
}

INSTANTIATE_TEST_SUITE_P(Isa, LayerNormTest, testing::ValuesIn(test::op_isas()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace lmdeploy
