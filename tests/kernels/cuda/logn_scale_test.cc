// The CUDA logn scale against the plain CPU op.
#include "kernels/logn_scale.h"

#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

TEST(CudaLognScale, EqualsThePlainOp) {
  test::CudaRun gpu;
  Ctx ctx = gpu.ctx();
  test::CpuRun cpu(1, "scalar");
  Tensor positions(Shape{3}, DType::kI32);
  const int32_t at[] = {7, 8, 32767};
  std::copy(std::begin(at), std::end(at), positions.data<int32_t>());
  for (int64_t size : {1, 96, 4096}) {
    const Tensor want = test::normal_tensor(Shape{3, size}, 8, 4);
    const Tensor x = test::to_gpu(want);
    logn_scale(cpu.ctx, positions, 8, want);
    logn_scale(ctx, test::to_gpu(positions), 8, x);
    gpu.stream().synchronize();
    test::expect_close(test::to_host(x), want, 1e-6, "x");
  }
}

}  // namespace
}  // namespace lmdeploy
