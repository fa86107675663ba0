#include "kernels/matmul_gated.h"

#include <cstring>

#include "kernels/gated_activation.h"
#include "tests/kernels/matmul_inputs.h"
#include "tests/kernels/op_test_support.h"

namespace lmdeploy {
namespace {

constexpr int64_t kK = 96;

PackedMatrix random_weight(int64_t size, DType format) {
  const test::FileWeight weight = test::random_weight(format, 2 * size, kK, 2);
  const RowSource source = weight.source();
  return pack_matrix({&source, 1}, format);
}

// Gate in the first rows of the weight, up behind them: the bits of the two ops it stands for.
void expect_product_and_activation(int64_t size, DType format, int64_t rows, Activation activation) {
  test::CpuRun cpu(2, CpuIsa::detect().name());
  const PackedMatrix weight = random_weight(size, format);
  const Tensor bias = test::normal_tensor(Shape{2 * size}, 3, 1);
  const Tensor x = test::normal_tensor(Shape{rows, kK}, 4);
  Tensor gate_up(Shape{rows, 2 * size}, DType::kF32), want(Shape{rows, size}, DType::kF32),
      got(Shape{rows, size}, DType::kF32);
  matmul(cpu.ctx, x, weight, bias, gate_up);
  gated_activation(cpu.ctx, gate_up, activation, want);
  matmul_gated(cpu.ctx, x, weight, bias, activation, got);
  EXPECT_EQ(std::memcmp(got.data<char>(), want.data<char>(), want.bytes()), 0)
      << rows << " rows, " << dtype_name(format) << " [" << 2 * size << ", " << kK << "]";
}

// 40: gate and up share a panel of the weight; 720 and 700 rows: strips of columns.
TEST(MatmulGatedTest, IsAProductAndItsActivation) {
  for (int64_t size : {40, 720}) {
    for (DType format : {DType::kF32, DType::kBF16, DType::kQ4_1}) {
      for (int64_t rows : {0, 1, 7, 700}) {
        expect_product_and_activation(size, format, rows, Activation::kSilu);
      }
      expect_product_and_activation(size, format, 20, Activation::kGeluTanh);
    }
  }
}

// One row on many threads: each has scratch for its own columns only.
TEST(MatmulGatedTest, ScratchIsThatOfGateAndUp) {
  constexpr int64_t kSize = 4000;
  test::CpuRun cpu(16, CpuIsa::detect().name());
  const PackedMatrix weight = random_weight(kSize, DType::kF32);
  const Tensor x = test::normal_tensor(Shape{1, kK}, 4), out(Shape{1, kSize}, DType::kF32);
  matmul_gated(cpu.ctx, x, weight, {}, Activation::kSilu, out);
  EXPECT_LE(cpu.arena.high_water(), 3 * kSize * sizeof(float));
}

TEST(MatmulGatedDeathTest, NamesAnOutputOfTheWrongSize) {
  test::CpuRun cpu(1, CpuIsa::detect().name());
  const PackedMatrix weight = random_weight(40, DType::kF32);
  const Tensor x = test::normal_tensor(Shape{2, kK}, 4), out(Shape{2, 80}, DType::kF32);
  EXPECT_DEATH(matmul_gated(cpu.ctx, x, weight, {}, Activation::kSilu, out), "matmul_gated.*out");
}

}  // namespace
}  // namespace lmdeploy
