// The CUDA soft cap against the plain CPU op.
#include "kernels/softcap.h"

#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

TEST(CudaSoftcap, EqualsThePlainOp) {
  test::CudaRun gpu;
  Ctx ctx = gpu.ctx();
  test::CpuRun cpu(1, "scalar");
  for (int64_t size : {1, 33, 32003, 262144}) {
    for (int64_t rows : {1, 3}) {
      const Tensor want = test::normal_tensor(Shape{rows, size}, 8, 40);
      const Tensor x = test::to_gpu(want);
      softcap(cpu.ctx, want, 30);
      softcap(ctx, x, 30);
      gpu.stream().synchronize();
      test::expect_close(test::to_host(x), want, 1e-6, "x");
    }
  }
}

}  // namespace
}  // namespace lmdeploy
