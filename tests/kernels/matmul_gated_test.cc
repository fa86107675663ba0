#include "kernels/matmul_gated.h"

#include <cstring>

#include "kernels/gated_activation.h"
#include "kernels/matmul.h"
#include "tests/kernels/op_test_support.h"

namespace lmdeploy {
namespace {

constexpr int64_t kSize = 40, kK = 96;

PackedMatrix random_weight() {
  const Tensor weight = test::normal_tensor(Shape{2 * kSize, kK}, 2, 0.1);
  const RowSource source{DType::kF32,        2 * kSize, kK, weight.data<std::byte>(),
                         kK * sizeof(float), {}};
  return pack_matrix({&source, 1}, DType::kF32);
}

// Gate in the first rows of the weight, up behind them: the bits of the two ops it stands for.
TEST(MatmulGatedTest, IsAProductAndItsActivation) {
  test::CpuRun cpu(1, CpuIsa::detect().name());
  const PackedMatrix weight = random_weight();
  const Tensor bias = test::normal_tensor(Shape{2 * kSize}, 3, 1);
  for (int64_t rows : {0, 1, 7, 70}) {
    const Tensor x = test::normal_tensor(Shape{rows, kK}, 4);
    for (Activation activation : {Activation::kSilu, Activation::kGeluTanh}) {
      Tensor gate_up(Shape{rows, 2 * kSize}, DType::kF32), want(Shape{rows, kSize}, DType::kF32),
          got(Shape{rows, kSize}, DType::kF32);
      matmul(cpu.ctx, x, weight, bias, gate_up);
      gated_activation(cpu.ctx, gate_up, activation, want);
      matmul_gated(cpu.ctx, x, weight, bias, activation, got);
      EXPECT_EQ(std::memcmp(got.data<char>(), want.data<char>(), want.bytes()), 0) << rows;
    }
  }
}

TEST(MatmulGatedDeathTest, NamesAnOutputOfTheWrongSize) {
  test::CpuRun cpu(1, CpuIsa::detect().name());
  const PackedMatrix weight = random_weight();
  const Tensor x = test::normal_tensor(Shape{2, kK}, 4), out(Shape{2, 2 * kSize}, DType::kF32);
  EXPECT_DEATH(matmul_gated(cpu.ctx, x, weight, {}, Activation::kSilu, out), "matmul_gated.*out");
}

}  // namespace
}  // namespace lmdeploy
