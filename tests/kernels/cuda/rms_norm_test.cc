// The CUDA norms against the plain CPU op on the same rounded inputs.
#include "kernels/rms_norm.h"

#include "tests/kernels/cuda/cuda_test_support.h"

namespace lmdeploy {
namespace {

using test::rounded;
using test::to_gpu;
using test::to_host;

enum class Op { kNorm, kAddNorm, kSandwich };

void apply(Op op, Ctx& ctx, const TensorView& residual, const TensorView& delta,
           const TensorView& post, const TensorView& weight, const TensorView& out) {
  constexpr float kEps = 1e-5f;
  if (op == Op::kNorm) rms_norm(ctx, residual, weight, kEps, out);
  if (op == Op::kAddNorm) add_rms_norm(ctx, residual, delta, weight, kEps, out);
  if (op == Op::kSandwich) sandwich_rms_norm(ctx, residual, delta, post, weight, kEps, out);
}

class CudaRmsNorm : public testing::TestWithParam<DType> {
 protected:
  // Rows of `size`, `stride` elements apart.
  void check(Op op, int64_t rows, int64_t size, int64_t stride) {
    Ctx ctx = gpu_.ctx();
    const Tensor residual = rounded(test::normal_tensor(Shape{rows, stride}, 1, 3), GetParam());
    const Tensor delta = rounded(test::normal_tensor(Shape{rows, stride}, 2, 2), GetParam());
    const Tensor post = test::normal_tensor(Shape{size}, 3),
                 weight = test::normal_tensor(Shape{size}, 4);
    const auto part = [size](const Tensor& x) { return x.view().columns(0, size); };
    Tensor want_residual = test::as_f32(residual), want(Shape{rows, stride}, DType::kF32);
    apply(op, cpu_.ctx, part(want_residual), part(test::as_f32(delta)), post, weight, part(want));

    const Tensor gpu_residual = to_gpu(residual), gpu_delta = to_gpu(delta);
    const Tensor gpu_post = to_gpu(post), gpu_weight = to_gpu(weight);
    const Tensor out(Shape{rows, stride}, GetParam(), test::CudaRun::kDevice);
    apply(op, ctx, part(gpu_residual), part(gpu_delta), gpu_post, gpu_weight, part(out));
    gpu_.stream().synchronize();
    const double tolerance = test::rounding(GetParam());
    test::expect_close(to_host(gpu_residual), want_residual, tolerance, "residual");
    test::expect_close(to_host(out), want, 3 * tolerance, "out");
  }

  test::CudaRun gpu_;
  test::CpuRun cpu_{1, "scalar"};
};

TEST_P(CudaRmsNorm, EqualsThePlainOp) {
  for (Op op : {Op::kNorm, Op::kAddNorm, Op::kSandwich}) {
    for (int64_t size : {1, 33, 64, 576, 4096, 5120, 5121, 8192, 16384}) {
      for (int64_t rows : {1, 7}) check(op, rows, size, size);
    }
  }
}

TEST_P(CudaRmsNorm, TakesStridedAndUnalignedRows) {
  for (Op op : {Op::kNorm, Op::kAddNorm, Op::kSandwich}) {
    check(op, 5, 576, 1024);
    check(op, 5, 576, 579);
  }
}

TEST_P(CudaRmsNorm, ARowDoesNotDependOnItsCompany) {
  constexpr int64_t kRows = 300, kSize = 2048;
  Ctx ctx = gpu_.ctx();
  const Tensor x = to_gpu(rounded(test::normal_tensor(Shape{kRows, kSize}, 5), GetParam()));
  const Tensor weight = to_gpu(test::normal_tensor(Shape{kSize}, 6));
  const Tensor together(Shape{kRows, kSize}, GetParam(), test::CudaRun::kDevice);
  const Tensor alone(Shape{kRows, kSize}, GetParam(), test::CudaRun::kDevice);
  rms_norm(ctx, x, weight, 1e-6f, together);
  for (int64_t r = 0; r < kRows; ++r) {
    rms_norm(ctx, x.view().rows(r, 1), weight, 1e-6f, alone.view().rows(r, 1));
  }
  gpu_.stream().synchronize();
  test::expect_close(to_host(alone), to_host(together), 0, "out");
}

INSTANTIATE_TEST_SUITE_P(Types, CudaRmsNorm,
                         testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& info) { return std::string(dtype_name(info.param)); });

TEST(CudaRuntime, ProbeNamesTheGpu) {
  const CudaProbe probe = probe_cuda();
  EXPECT_TRUE(probe.built_in);
  ASSERT_GE(probe.devices, 1) << probe.detail;
  EXPECT_NE(probe.detail.find("GPU(s), first"), std::string::npos) << probe.detail;
}

TEST(CudaRuntime, RefusesWhatIsNotThere) {
  const auto stream = make_stream({DeviceType::kCuda, 99}, 0, {});
  ASSERT_FALSE(stream.ok());
  EXPECT_NE(stream.status().message().find("--device cpu"), std::string::npos);
  const Result<void*> memory = device_allocate({DeviceType::kCuda, 0}, size_t{1} << 50);
  ASSERT_FALSE(memory.ok());
  EXPECT_EQ(memory.status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace lmdeploy
