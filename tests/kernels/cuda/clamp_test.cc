// The CUDA clamp against the plain CPU op on the same rounded inputs.
#include "kernels/clamp.h"

#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

TEST(CudaClamp, EqualsThePlainOp) {
  test::CudaRun gpu;
  test::CpuRun cpu(1, "scalar");
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const auto& [columns, other] : {std::pair<int64_t, int64_t>{1536, 0}, {1536, 8}, {333, 2}}) {
      const Tensor x = test::rounded(test::normal_tensor(Shape{5, columns + other}, 3, 8), dtype);
      const Tensor want = test::as_f32(x), on_gpu = test::to_gpu(x);
      clamp(cpu.ctx, want.view().columns(0, columns), 6.5f);
      Ctx ctx = gpu.ctx();
      clamp(ctx, on_gpu.view().columns(0, columns), 6.5f);
      gpu.stream().synchronize();
      test::expect_close(test::to_host(on_gpu), want, 0, "x");
    }
  }
}

}  // namespace
}  // namespace lmdeploy
