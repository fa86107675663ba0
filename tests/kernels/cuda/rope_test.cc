// The CUDA rope table against the plain CPU op, far positions included.
#include "kernels/rope.h"

#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

Tensor i32_tensor(const std::vector<int32_t>& values) {
  Tensor tensor(Shape{static_cast<int64_t>(values.size())}, DType::kI32);
  std::copy(values.begin(), values.end(), tensor.data<int32_t>());
  return tensor;
}

TEST(CudaRope, EqualsThePlainOp) {
  test::CudaRun gpu;
  Ctx ctx = gpu.ctx();
  test::CpuRun cpu(1, "scalar");
  const Tensor positions = i32_tensor({0, 1, 7, 4095, 131071, 1048575, 63});
  const Tensor rows = i32_tensor({0, 1, 2, 0, 1, 2, 2});
  for (int64_t half : {1, 32, 40, 64, 128}) {
    Tensor inv_freq(Shape{3, half}, DType::kF32);
    for (int64_t i = 0; i < 3 * half; ++i) {
      const double exponent = static_cast<double>(i % half) / static_cast<double>(half);
      inv_freq.data<float>()[i] =
          static_cast<float>(std::pow(10000.0 * static_cast<double>(i / half + 1), -exponent));
    }
    for (bool per_token : {false, true}) {
      Tensor want(Shape{7, 2 * half}, DType::kF32);
      const TensorView none;
      rope_cos_sin(cpu.ctx, positions, inv_freq, per_token ? rows.view() : none, 1.25f, want);
      const Tensor gpu_positions = test::to_gpu(positions), gpu_rows = test::to_gpu(rows),
                   gpu_inv_freq = test::to_gpu(inv_freq);
      const Tensor out(Shape{7, 2 * half}, DType::kF32, test::CudaRun::kDevice);
      rope_cos_sin(ctx, gpu_positions, gpu_inv_freq, per_token ? gpu_rows.view() : none, 1.25f,
                   out);
      gpu.stream().synchronize();
      test::expect_close(test::to_host(out), want, 4e-7, "cos_sin");
    }
  }
}

}  // namespace
}  // namespace lmdeploy
