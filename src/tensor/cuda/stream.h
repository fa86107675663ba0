// CudaStream: a stream of one GPU, and how CUDA errors are told. Only for code under a cuda/
// folder.
#pragma once

#include <cuda_runtime.h>

#include "base/check.h"
#include "tensor/stream.h"

namespace lmdeploy::cuda {

// Makes `device` the calling thread's current one and gives the former back at the end.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) {
    cudaGetDevice(&former_);
    if (former_ != device) cudaSetDevice(device);
  }
  ~DeviceGuard() { cudaSetDevice(former_); }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int former_ = 0;
};

class CudaStream final : public Stream {
 public:
  // Takes over `stream`.
  CudaStream(int device, cudaStream_t stream) : device_(device), stream_(stream) {}
  ~CudaStream() override;
  Device device() const override { return {DeviceType::kCuda, device_}; }
  void synchronize() override;
  cudaStream_t handle() const { return stream_; }

 private:
  int device_;
  cudaStream_t stream_;
};

inline void check_call(cudaError_t error, const char* call) {
  CHECK(error == cudaSuccess, "{}: {}", call, cudaGetErrorString(error));
}

}  // namespace lmdeploy::cuda

// CHECK that a CUDA call of our own did not fail.
#define CUDA_CHECK(call) ::lmdeploy::cuda::check_call((call), #call)
