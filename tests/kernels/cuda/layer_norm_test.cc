// The CUDA layer norms against the plain CPU op on the same rounded inputs.
#include "kernels/layer_norm.h"

#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

using test::rounded;
using test::to_gpu;
using test::to_host;

constexpr float kEps = 1e-5f;

class CudaLayerNorm : public testing::TestWithParam<DType> {
 protected:
  // Rows of `size`, `stride` elements apart.
  void check(bool add, int64_t rows, int64_t size, int64_t stride) {
    Ctx ctx = gpu_.ctx();
    const Tensor residual = rounded(test::normal_tensor(Shape{rows, stride}, 1, 3), GetParam());
    const Tensor delta = rounded(test::normal_tensor(Shape{rows, stride}, 2, 2), GetParam());
    const Tensor bias = test::normal_tensor(Shape{size}, 3),
                 weight = test::normal_tensor(Shape{size}, 4);
    const auto part = [size](const Tensor& x) { return x.view().columns(0, size); };
    Tensor want_residual = test::as_f32(residual), want(Shape{rows, stride}, DType::kF32);
    const Tensor gpu_residual = to_gpu(residual), gpu_delta = to_gpu(delta);
    const Tensor gpu_bias = to_gpu(bias), gpu_weight = to_gpu(weight);
    const Tensor out(Shape{rows, stride}, GetParam(), test::CudaRun::kDevice);
    if (add) {
      add_layer_norm(cpu_.ctx, part(want_residual), part(test::as_f32(delta)), weight, {}, kEps,
                     part(want));
      add_layer_norm(ctx, part(gpu_residual), part(gpu_delta), gpu_weight, {}, kEps, part(out));
    } else {
      layer_norm(cpu_.ctx, part(want_residual), weight, bias, kEps, part(want));
      layer_norm(ctx, part(gpu_residual), gpu_weight, gpu_bias, kEps, part(out));
    }
    gpu_.stream().synchronize();
    const double tolerance = test::rounding(GetParam());
    test::expect_close(to_host(gpu_residual), want_residual, tolerance, "residual");
    test::expect_close(to_host(out), want, 3 * tolerance, "out");
  }

  test::CudaRun gpu_;
  test::CpuRun cpu_{1, "scalar"};
};

TEST_P(CudaLayerNorm, EqualsThePlainOp) {
  for (bool add : {false, true}) {
    for (int64_t size : {2, 33, 64, 576, 4096, 4544, 5121, 8192, 16384}) {
      for (int64_t rows : {1, 7}) check(add, rows, size, size);
    }
    check(add, 5, 576, 1024);
    check(add, 5, 576, 579);
  }
}

TEST_P(CudaLayerNorm, HeadsInPlace) {
  Ctx ctx = gpu_.ctx();
  for (int64_t size : {30, 64, 128}) {
    constexpr int64_t kRows = 50, kHeads = 6;
    const Tensor x = rounded(test::normal_tensor(Shape{kRows, 1024}, 1, 2), GetParam());
    const Tensor weight = test::normal_tensor(Shape{kHeads, size}, 2);
    const Tensor want = test::as_f32(x), got = to_gpu(x);
    const TensorView want_part = want.view().columns(64, kHeads * size);
    const TensorView got_part = got.view().columns(64, kHeads * size);
    head_layer_norm(cpu_.ctx, want_part, weight, kEps, want_part);
    head_layer_norm(ctx, got_part, to_gpu(weight), kEps, got_part);
    gpu_.stream().synchronize();
    test::expect_close(to_host(got), want, 3 * test::rounding(GetParam()), "x");
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaLayerNorm,
                         testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& info) { return std::string(dtype_name(info.param)); });

}  // namespace
}  // namespace lmdeploy
