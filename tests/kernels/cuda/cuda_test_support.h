// What tests of CUDA ops share: a stream with scratch memory, rounding of inputs to the op's type,
// copies to and from the device.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "kernels/ctx.h"
#include "tests/kernels/op_test_support.h"

namespace lmdeploy::test {

class CudaRun {
 public:
  CudaRun() : arena_(kDevice) {
    Result<std::unique_ptr<Stream>> made = make_stream(kDevice, 0, {});
    CHECK(made.ok(), "{}", made.status().message());
    stream_ = std::move(*made);
  }
  Ctx ctx() { return Ctx{*stream_, arena_}; }
  Stream& stream() { return *stream_; }
  Arena& arena() { return arena_; }

  static constexpr Device kDevice{DeviceType::kCuda, 0};

 private:
  std::unique_ptr<Stream> stream_;
  Arena arena_;
};

inline float element(const Tensor& tensor, int64_t i) {
  if (tensor.dtype() == DType::kF16) return to_float(tensor.data<f16>()[i]);
  if (tensor.dtype() == DType::kBF16) return to_float(tensor.data<bf16>()[i]);
  return tensor.data<float>()[i];
}

// f32 host tensor -> `dtype` host tensor.
inline Tensor rounded(const Tensor& x, DType dtype) {
  Tensor out(x.shape(), dtype);
  for (int64_t i = 0; i < x.shape().numel(); ++i) {
    const float value = x.data<float>()[i];
    if (dtype == DType::kF16) out.data<f16>()[i] = to_f16(value);
    if (dtype == DType::kBF16) out.data<bf16>()[i] = to_bf16(value);
    if (dtype == DType::kF32) out.data<float>()[i] = value;
  }
  return out;
}

inline Tensor as_f32(const Tensor& x) {
  Tensor out(x.shape(), DType::kF32);
  for (int64_t i = 0; i < x.shape().numel(); ++i) out.data<float>()[i] = element(x, i);
  return out;
}

inline Tensor copied(const Tensor& x, Device to) {
  Tensor out(x.shape(), x.dtype(), to);
  device_copy(to, out.view().raw(), x.view().device(), x.view().raw(), x.bytes());
  return out;
}
inline Tensor to_gpu(const Tensor& x) { return copied(x, CudaRun::kDevice); }
inline Tensor to_host(const Tensor& x) { return copied(x, Device{}); }

// Relative error of one rounding of the type, plus what fp32 sums cost.
inline double rounding(DType dtype) {
  return dtype == DType::kF32 ? 2e-6 : dtype == DType::kF16 ? 0x1p-10 : 0x1p-7;
}

inline void expect_close(const Tensor& got, const Tensor& want, double tolerance, const char* what) {
  for (int64_t i = 0; i < want.shape().numel(); ++i) {
    const double expected = element(want, i);
    ASSERT_NEAR(element(got, i), expected, tolerance * (std::fabs(expected) + 1))
        << what << " " << i;
  }
}

}  // namespace lmdeploy::test
