// The CUDA gated activation against the plain CPU op on the same rounded inputs.
#include "kernels/gated_activation.h"

#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

class CudaGatedActivation : public testing::TestWithParam<DType> {
 protected:
  void check(Activation activation, int64_t rows, int64_t size, int64_t stride) {
    Ctx ctx = gpu_.ctx();
    const Tensor gate_up =
        test::rounded(test::normal_tensor(Shape{rows, stride}, 7, 4), GetParam());
    const Tensor wide = test::as_f32(gate_up);
    Tensor want(Shape{rows, size}, DType::kF32);
    gated_activation(cpu_.ctx, wide.view().columns(0, 2 * size), activation, want);
    const Tensor gpu_gate_up = test::to_gpu(gate_up);
    const Tensor out(Shape{rows, size}, GetParam(), test::CudaRun::kDevice);
    gated_activation(ctx, gpu_gate_up.view().columns(0, 2 * size), activation, out);
    gpu_.stream().synchronize();
    test::expect_close(test::to_host(out), want, test::rounding(GetParam()), "out");
  }

  test::CudaRun gpu_;
  test::CpuRun cpu_{1, "scalar"};
};

TEST_P(CudaGatedActivation, EqualsThePlainOp) {
  for (Activation activation : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh,
                                Activation::kClampedSwiglu}) {
    for (int64_t size : {1, 33, 1536, 14336}) {
      for (int64_t rows : {1, 5}) {
        check(activation, rows, size, 2 * size);
        check(activation, rows, size, 2 * size + 3);
      }
    }
    check(activation, 700, 96, 192);
  }
}

TEST_P(CudaGatedActivation, FarGatesGiveNoNaN) {
  Ctx ctx = gpu_.ctx();
  const std::vector<float> gates = {-60000, -1000, -100, -20, 20, 100, 1000, 60000};
  const auto count = static_cast<int64_t>(gates.size());
  Tensor gate_up(Shape{1, 2 * count}, DType::kF32);
  for (int64_t i = 0; i < count; ++i) {
    gate_up.data<float>()[i] = gates[static_cast<size_t>(i)];
    gate_up.data<float>()[count + i] = 1;
  }
  const Tensor input = test::rounded(gate_up, GetParam());
  const Tensor gpu_input = test::to_gpu(input);
  const Tensor out(Shape{1, count}, GetParam(), test::CudaRun::kDevice);
  for (Activation activation : {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh}) {
    gated_activation(ctx, gpu_input, activation, out);
    gpu_.stream().synchronize();
    const Tensor got = test::to_host(out);
    for (int64_t i = 0; i < count; ++i) {
      const double want = gates[static_cast<size_t>(i)] > 0 ? test::element(input, i) : 0;
      EXPECT_NEAR(test::element(got, i), want, 1e-7 * (1 + want));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaGatedActivation,
                         testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& info) { return std::string(dtype_name(info.param)); });

}  // namespace
}  // namespace lmdeploy
