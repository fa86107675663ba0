// Random weights on the device: the values of the CPU, up to the last bit of fp64 functions.
#include "kernels/random_normal.h"

#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

class CudaRandomNormal : public testing::TestWithParam<DType> {};

TEST_P(CudaRandomNormal, EqualsTheCpu) {
  test::CudaRun gpu;
  Ctx ctx = gpu.ctx();
  test::CpuRun cpu(4, "scalar");
  for (int64_t columns : {1, 33, 4096}) {
    const RandomNormal values{
        .key = 77, .first = 12345, .row_elements = columns + 7, .mean = 0.5f, .stddev = 0.02f};
    const Tensor want(Shape{50, columns}, GetParam()),
        got(Shape{50, columns + 3}, GetParam(), test::CudaRun::kDevice);
    random_normal(cpu.ctx, values, want);
    random_normal(ctx, values, got.view().columns(0, columns));
    gpu.stream().synchronize();
    const Tensor host = test::to_host(got);
    for (int64_t r = 0; r < 50; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        const double expected = test::element(want, r * columns + c);
        ASSERT_NEAR(test::element(host, r * (columns + 3) + c), expected,
                    test::rounding(GetParam()) * std::fabs(expected));
      }
      for (int64_t c = columns; c < columns + 3; ++c) {
        ASSERT_EQ(test::element(host, r * (columns + 3) + c), 0) << "beyond the row";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaRandomNormal,
                         testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& info) { return std::string(dtype_name(info.param)); });

}  // namespace
}  // namespace lmdeploy
