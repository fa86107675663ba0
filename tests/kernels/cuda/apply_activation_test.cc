// The CUDA activation without a gate, and scale, against the plain CPU ops on the same rounded inputs.
#include "kernels/apply_activation.h"

#include "kernels/scale.h"
#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

class CudaApplyActivation : public testing::TestWithParam<DType> {
 protected:
  void check(Activation activation, int64_t rows, int64_t size, int64_t stride) {
    Ctx ctx = gpu_.ctx();
    const Tensor x = test::rounded(test::normal_tensor(Shape{rows, stride}, 7, 4), GetParam());
    const Tensor want = test::as_f32(x), got = test::to_gpu(x);
    apply_activation(cpu_.ctx, want.view().columns(0, size), activation);
    apply_activation(ctx, got.view().columns(0, size), activation);
    gpu_.stream().synchronize();
    test::expect_close(test::to_host(got), want, test::rounding(GetParam()), "x");
  }

  test::CudaRun gpu_;
  test::CpuRun cpu_{1, "scalar"};
};

TEST_P(CudaApplyActivation, EqualsThePlainOp) {
  for (Activation activation : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh}) {
    for (int64_t size : {1, 33, 1536, 18176}) {
      for (int64_t rows : {1, 5}) {
        check(activation, rows, size, size);
        check(activation, rows, size, size + 3);
      }
    }
    check(activation, 700, 96, 96);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaApplyActivation,
                         testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& info) { return std::string(dtype_name(info.param)); });

TEST(CudaScale, EqualsThePlainOp) {
  test::CudaRun gpu;
  test::CpuRun cpu(1, "scalar");
  Ctx ctx = gpu.ctx();
  for (int64_t columns : {1, 1000, 32003}) {
    const Tensor want = test::normal_tensor(Shape{3, columns}, 1), got = test::to_gpu(want);
    scale(cpu.ctx, want, 0.3f);
    scale(ctx, got, 0.3f);
    gpu.stream().synchronize();
    test::expect_close(test::to_host(got), want, 0, "x");
  }
}

}  // namespace
}  // namespace lmdeploy
