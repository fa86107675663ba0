// What the tests of CUDA norms share: an op on rows against the plain CPU op on the same rounded
// inputs.
#pragma once

#include <functional>

#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy::test {

struct NormViews {
  TensorView residual, delta, out;  // [rows, size] of the activations' type
  TensorView first, second;         // f32 [size]: weights or biases
};

class CudaNorm : public testing::TestWithParam<DType> {
 protected:
  using Norm = std::function<void(Ctx&, const NormViews&)>;

  // Rows of `size`, `stride` elements apart. What the op makes of the residual is compared too.
  void check(const Norm& norm, int64_t rows, int64_t size, int64_t stride) {
    const Tensor residual = rounded(normal_tensor(Shape{rows, stride}, 1, 3), GetParam());
    const Tensor delta = rounded(normal_tensor(Shape{rows, stride}, 2, 2), GetParam());
    const Tensor first = normal_tensor(Shape{size}, 3), second = normal_tensor(Shape{size}, 4);
    const auto part = [size](const Tensor& x) { return x.view().columns(0, size); };
    const Tensor want_residual = as_f32(residual), want_delta = as_f32(delta);
    const Tensor want(Shape{rows, stride}, DType::kF32);
    std::fill_n(want.data<float>(), want.shape().numel(), 0.0f);
    const Tensor gpu_residual = to_gpu(residual), gpu_delta = to_gpu(delta);
    const Tensor gpu_first = to_gpu(first), gpu_second = to_gpu(second);
    const Tensor out = to_gpu(rounded(want, GetParam()));
    norm(cpu_.ctx, {part(want_residual), part(want_delta), part(want), first, second});
    Ctx ctx = gpu_.ctx();
    norm(ctx, {part(gpu_residual), part(gpu_delta), part(out), gpu_first, gpu_second});
    gpu_.stream().synchronize();
    const double tolerance = rounding(GetParam());
    expect_close(to_host(gpu_residual), want_residual, tolerance, "residual");
    expect_close(to_host(out), want, 3 * tolerance, "out");
  }
  void check_sizes(const Norm& norm, std::initializer_list<int64_t> sizes) {
    for (int64_t size : sizes) {
      for (int64_t rows : {1, 7}) check(norm, rows, size, size);
    }
    check(norm, 5, 576, 1024);
    check(norm, 5, 576, 579);  // unaligned
  }

  CudaRun gpu_;
  CpuRun cpu_{1, "scalar"};
};

}  // namespace lmdeploy::test
