// matmul_heads on the CPU against fp64 sums, in strided rows.
#include "kernels/matmul_heads.h"

#include <cmath>

#include "tests/kernels/matmul_inputs.h"
#include "tests/kernels/op_test_support.h"

namespace lmdeploy {
namespace {

struct Steps {
  int64_t x, out;
};

void expect_products(DType format, int heads, int64_t n, int64_t k, int64_t rows, Steps steps) {
  HeadMatrices w{.heads = heads, .n = n, .k = k, .parts = {}};
  for (int h = 0; h < heads; ++h) {
    const test::FileWeight weight = test::random_weight(format, n, k, 10 + static_cast<uint64_t>(h));
    const RowSource source = weight.source();
    w.parts.push_back(pack_matrix({&source, 1}, format));
  }
  const Tensor x = test::normal_tensor(Shape{rows, (heads - 1) * steps.x + k}, 1);
  Tensor out(Shape{rows, (heads - 1) * steps.out + n + 3}, DType::kF32);
  std::fill_n(out.data<float>(), out.shape().numel(), 7.0f);
  test::CpuRun cpu(2, CpuIsa::detect().name());
  matmul_heads(cpu.ctx, x, steps.x, w, out, steps.out);
  std::vector<float> row(static_cast<size_t>(k));
  for (int64_t i = 0; i < out.shape()[1]; ++i) {
    const int64_t h = std::min<int64_t>(i / steps.out, heads - 1), within = i - h * steps.out;
    const bool written = within < n;
    if (written) unpack_row(w.parts[static_cast<size_t>(h)], within, row.data());
    for (int64_t t = 0; t < rows; ++t) {
      double want = written ? 0 : 7;
      for (int64_t j = 0; written && j < k; ++j) {
        want += double{row[static_cast<size_t>(j)]} * x.view().row<float>(t)[h * steps.x + j];
      }
      ASSERT_NEAR(out.view().row<float>(t)[i], want, format == DType::kBF16 ? 2e-2 : 1e-5)
          << "row " << t << " column " << i;
    }
  }
}

TEST(MatmulHeads, EachHeadHasItsMatrix) {
  for (DType format : {DType::kF32, DType::kF16, DType::kBF16}) {
    SCOPED_TRACE(dtype_name(format));
    expect_products(format, 3, 40, 64, 5, {64, 40});
    expect_products(format, 4, 33, 24, 1, {31, 50});  // gaps on both sides
    expect_products(format, 1, 16, 32, 2, {32, 16});
  }
}

TEST(MatmulHeads, NoRows) {
  HeadMatrices w{.heads = 1, .n = 16, .k = 32, .parts = {}};
  const test::FileWeight weight = test::random_weight(DType::kF32, 16, 32, 1);
  const RowSource source = weight.source();
  w.parts.push_back(pack_matrix({&source, 1}, DType::kF32));
  test::CpuRun cpu(1, CpuIsa::detect().name());
  matmul_heads(cpu.ctx, Tensor(Shape{0, 32}, DType::kF32), 32, w, Tensor(Shape{0, 16}, DType::kF32),
               16);
}

}  // namespace
}  // namespace lmdeploy
