// Host values as tensors on the benchmarks' GPU.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tensor/device.h"
#include "tensor/tensor.h"

namespace lmdeploy {

constexpr Device kGpu{DeviceType::kCuda, 0};

inline Tensor upload(const Tensor& host) {
  Tensor device(host.shape(), host.dtype(), kGpu);
  device_copy(kGpu, device.view().raw(), Device{}, host.view().raw(), host.bytes());
  return device;
}

// i32 [values.size()].
inline Tensor upload(const std::vector<int>& values) {
  Tensor host(Shape{static_cast<int64_t>(values.size())}, DType::kI32);
  std::copy(values.begin(), values.end(), host.data<int32_t>());
  return upload(host);
}

}  // namespace lmdeploy
