// The CUDA norms against the plain CPU op on the same rounded inputs.
#include "kernels/rms_norm.h"

#include <cmath>

#include "tests/kernels/op_test_support.h"

namespace lmdeploy {
namespace {

float element(const Tensor& tensor, int64_t i) {
  if (tensor.dtype() == DType::kF16) return to_float(tensor.data<f16>()[i]);
  if (tensor.dtype() == DType::kBF16) return to_float(tensor.data<bf16>()[i]);
  return tensor.data<float>()[i];
}

Tensor rounded(const Tensor& x, DType dtype) {
  Tensor out(x.shape(), dtype);
  for (int64_t i = 0; i < x.shape().numel(); ++i) {
    const float value = x.data<float>()[i];
    if (dtype == DType::kF16) out.data<f16>()[i] = to_f16(value);
    if (dtype == DType::kBF16) out.data<bf16>()[i] = to_bf16(value);
    if (dtype == DType::kF32) out.data<float>()[i] = value;
  }
  return out;
}

Tensor as_f32(const Tensor& x) {
  Tensor out(x.shape(), DType::kF32);
  for (int64_t i = 0; i < x.shape().numel(); ++i) out.data<float>()[i] = element(x, i);
  return out;
}

Tensor copied(const Tensor& x, Device to) {
  Tensor out(x.shape(), x.dtype(), to);
  device_copy(to, out.view().raw(), x.view().device(), x.view().raw(), x.bytes());
  return out;
}

enum class Op { kNorm, kAddNorm, kSandwich };

void apply(Op op, Ctx& ctx, const Tensor& residual, const Tensor& delta, const Tensor& post,
           const Tensor& weight, const Tensor& out) {
  constexpr float kEps = 1e-5f;
  if (op == Op::kNorm) rms_norm(ctx, residual, weight, kEps, out);
  if (op == Op::kAddNorm) add_rms_norm(ctx, residual, delta, weight, kEps, out);
  if (op == Op::kSandwich) sandwich_rms_norm(ctx, residual, delta, post, weight, kEps, out);
}

// Relative error allowed: one rounding of the type plus the fp32 sums.
double tolerance(DType dtype) {
  return dtype == DType::kF32 ? 2e-6 : dtype == DType::kF16 ? 0x1p-10 : 0x1p-7;
}

void expect_close(const Tensor& got, const Tensor& want, double tolerance, const char* what) {
  for (int64_t i = 0; i < want.shape().numel(); ++i) {
    const double expected = element(want, i);
    ASSERT_NEAR(element(got, i), expected, tolerance * (std::fabs(expected) + 1))
        << what << " " << i;
  }
}

class CudaRmsNorm : public testing::TestWithParam<DType> {};

TEST_P(CudaRmsNorm, EqualsThePlainOp) {
  const Device gpu{DeviceType::kCuda, 0};
  Result<std::unique_ptr<Stream>> made = make_stream(gpu, 0, {});
  ASSERT_TRUE(made.ok()) << made.status().message();
  Stream& stream = **made;
  Arena arena(gpu);
  Ctx ctx{stream, arena};
  test::CpuRun cpu(1, "scalar");
  for (Op op : {Op::kNorm, Op::kAddNorm, Op::kSandwich}) {
    for (int64_t size : {1, 33, 576, 4096, 5120}) {
      for (int64_t rows : {1, 7}) {
        const Tensor residual = rounded(test::normal_tensor(Shape{rows, size}, 1, 3), GetParam());
        const Tensor delta = rounded(test::normal_tensor(Shape{rows, size}, 2, 2), GetParam());
        const Tensor post = test::normal_tensor(Shape{size}, 3),
                     weight = test::normal_tensor(Shape{size}, 4);
        Tensor want_residual = as_f32(residual), want(Shape{rows, size}, DType::kF32);
        apply(op, cpu.ctx, want_residual, as_f32(delta), post, weight, want);

        const Tensor gpu_residual = copied(residual, gpu), gpu_delta = copied(delta, gpu);
        const Tensor gpu_post = copied(post, gpu), gpu_weight = copied(weight, gpu);
        const Tensor gpu_out(Shape{rows, size}, GetParam(), gpu);
        apply(op, ctx, gpu_residual, gpu_delta, gpu_post, gpu_weight, gpu_out);
        stream.synchronize();
        expect_close(copied(gpu_residual, Device{}), want_residual, tolerance(GetParam()),
                     "residual");
        expect_close(copied(gpu_out, Device{}), want, 3 * tolerance(GetParam()), "out");
      }
    }
  }
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
