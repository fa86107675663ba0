// The CUDA row gather: bits unchanged.
#include "kernels/gather_rows.h"

#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

class CudaGatherRows : public testing::TestWithParam<DType> {};

TEST_P(CudaGatherRows, CopiesTheRows) {
  test::CudaRun gpu;
  Ctx ctx = gpu.ctx();
  constexpr int64_t kTokens = 300;
  const std::vector<int32_t> rows = {299, 0, 5, 5, -1, 300, 128};
  const auto count = static_cast<int64_t>(rows.size());
  Tensor host_rows(Shape{count}, DType::kI32);
  std::copy(rows.begin(), rows.end(), host_rows.data<int32_t>());
  const Tensor gpu_rows = test::to_gpu(host_rows);
  for (int64_t size : {1, 33, 576, 4096}) {
    for (int64_t stride : {size, size + 5}) {
      const Tensor x = test::rounded(test::normal_tensor(Shape{kTokens, stride}, 3), GetParam());
      const Tensor gpu_x = test::to_gpu(x);
      Tensor want(Shape{count, size}, DType::kF32);
      for (int64_t r = 0; r < count; ++r) {
        const int32_t source = rows[static_cast<size_t>(r)];
        if (source < 0 || source >= kTokens) continue;
        for (int64_t i = 0; i < size; ++i) {
          want.data<float>()[r * size + i] = test::element(x, source * stride + i);
        }
      }
      const Tensor out(Shape{count, size}, GetParam(), test::CudaRun::kDevice);
      gather_rows(ctx, gpu_x.view().columns(0, size), gpu_rows, out);
      gpu.stream().synchronize();
      test::expect_close(test::to_host(out), want, 0, "out");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaGatherRows,
                         testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& info) { return std::string(dtype_name(info.param)); });

}  // namespace
}  // namespace lmdeploy
