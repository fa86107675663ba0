// The CUDA norms against the plain CPU op on the same rounded inputs.
#include "kernels/rms_norm.h"

#include "tests/kernels/cuda/norm_fixture.h"

namespace lmdeploy {
namespace {

using test::rounded;
using test::to_gpu;
using test::to_host;

class CudaRmsNorm : public test::CudaNorm {};

TEST_P(CudaRmsNorm, EqualsThePlainOp) {
  constexpr float kEps = 1e-5f;
  const auto plain = [](Ctx& ctx, const test::NormViews& v) {
    rms_norm(ctx, v.residual, v.second, kEps, v.out);
  };
  const auto adding = [](Ctx& ctx, const test::NormViews& v) {
    add_rms_norm(ctx, v.residual, v.delta, v.second, kEps, v.out);
  };
  const auto sandwich = [](Ctx& ctx, const test::NormViews& v) {
    sandwich_rms_norm(ctx, v.residual, v.delta, v.first, v.second, kEps, v.out);
  };
  for (const Norm& norm : {Norm(plain), Norm(adding), Norm(sandwich)}) {
    check_sizes(norm, {1, 33, 64, 576, 4096, 5120, 5121, 8192, 16384});
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
