// The CUDA layer norms against the plain CPU op on the same rounded inputs.
#include "kernels/layer_norm.h"

#include "tests/kernels/cuda/norm_fixture.h"

namespace lmdeploy {
namespace {

using test::rounded;
using test::to_gpu;
using test::to_host;

constexpr float kEps = 1e-5f;

class CudaLayerNorm : public test::CudaNorm {};

TEST_P(CudaLayerNorm, EqualsThePlainOp) {
  const auto plain = [](Ctx& ctx, const test::NormViews& v) {
    layer_norm(ctx, v.residual, v.second, v.first, kEps, v.out);
  };
  const auto adding = [](Ctx& ctx, const test::NormViews& v) {
    add_layer_norm(ctx, v.residual, v.delta, v.second, {}, kEps, v.out);
  };
  for (const Norm& norm : {Norm(plain), Norm(adding)}) {
    check_sizes(norm, {2, 33, 64, 576, 4096, 4544, 5121, 8192, 16384});
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
