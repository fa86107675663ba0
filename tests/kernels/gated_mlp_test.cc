#include "kernels/gated_mlp.h"

#include <cstring>

#include "kernels/matmul_gated.h"
#include "tests/kernels/matmul_inputs.h"
#include "tests/kernels/op_test_support.h"

namespace lmdeploy {
namespace {

constexpr int64_t kHidden = 96;

PackedMatrix random_weight(int64_t n, int64_t k, DType format, uint64_t seed) {
  const test::FileWeight weight = test::random_weight(format, n, k, seed);
  const RowSource source = weight.source();
  return pack_matrix({&source, 1}, format);
}

// The bits of the two ops it stands for, with both biases and a residual.
void expect_two_products(int64_t size, DType format, int64_t rows, int threads) {
  test::CpuRun cpu(threads, CpuIsa::detect().name());
  const PackedMatrix gate_up = random_weight(2 * size, kHidden, format, 2);
  const PackedMatrix down = random_weight(kHidden, size, format, 3);
  const Tensor gate_up_bias = test::normal_tensor(Shape{2 * size}, 3, 1);
  const Tensor down_bias = test::normal_tensor(Shape{kHidden}, 4, 1);
  const Tensor x = test::normal_tensor(Shape{rows, kHidden}, 5);
  const Tensor want = test::normal_tensor(Shape{rows, kHidden}, 6, 1);
  const Tensor got = test::normal_tensor(Shape{rows, kHidden}, 6, 1);
  Tensor product(Shape{rows, size}, DType::kF32);
  matmul_gated(cpu.ctx, x, gate_up, gate_up_bias, Activation::kSilu, product);
  matmul(cpu.ctx, product, down, down_bias, want, MatmulEpilogue::kAdd);
  gated_mlp(cpu.ctx, x, gate_up, gate_up_bias, Activation::kSilu, down, down_bias, got, MatmulEpilogue::kAdd);
  EXPECT_EQ(std::memcmp(got.data<char>(), want.data<char>(), want.bytes()), 0)
      << rows << " rows, " << dtype_name(format) << ", " << size << " between, " << threads << " threads";
}

// 32: one pair of panels; 608: 19 steps, two slabs; 736: a strip of columns that is not the last; 450
// and 1,100 rows: strips of rows.
TEST(GatedMlpTest, IsTwoProducts) {
  for (DType format : {DType::kBF16, DType::kQ4_1}) {
    for (int64_t size : {32, 608, 736}) {
      for (int64_t rows : {0, 1, 33, 70, 450, 1100}) expect_two_products(size, format, rows, 2);
    }
    expect_two_products(736, format, 450, 3);
  }
  for (int64_t size : {16, 48}) {  // an odd number of panels: the last step is half zeros
    for (int64_t rows : {1, 33, 450}) expect_two_products(size, DType::kBF16, rows, 2);
  }
}

TEST(GatedMlpDeathTest, NamesWeightsThatDoNotFit) {
  test::CpuRun cpu(1, CpuIsa::detect().name());
  const PackedMatrix gate_up = random_weight(64, kHidden, DType::kF32, 2);
  const PackedMatrix down = random_weight(kHidden, 64, DType::kF32, 3);
  const Tensor x = test::normal_tensor(Shape{2, kHidden}, 4), out(Shape{2, kHidden}, DType::kF32);
  EXPECT_DEATH(gated_mlp(cpu.ctx, x, gate_up, {}, Activation::kSilu, down, {}, out),
               "gated_mlp: gate and up of 64 rows, down of 64 columns");
  const PackedMatrix half = random_weight(kHidden, 32, DType::kF32, 3);
  const Tensor bias = test::normal_tensor(Shape{32}, 4);
  EXPECT_DEATH(gated_mlp(cpu.ctx, x, gate_up, bias, Activation::kSilu, half, {}, out), "gate_up_bias");
}

}  // namespace
}  // namespace lmdeploy
