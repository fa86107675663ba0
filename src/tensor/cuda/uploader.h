// The Uploader of a GPU (tensor/uploader.h).
#pragma once

#include <cuda_runtime.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

#include "tensor/cuda/pinned.h"
#include "tensor/uploader.h"

namespace lmdeploy::cuda {

class CudaUploader final : public Uploader {
 public:
  // 2 MiB keeps the copy engine at its rate, 32 of them keep 16 filling threads from waiting.
  static constexpr size_t kBufferBytes = size_t{2} << 20;
  static constexpr int kBuffers = 32;

  static Result<std::unique_ptr<Uploader>> make(int device);
  ~CudaUploader() override;

  Device device() const override { return {DeviceType::kCuda, device_}; }
  size_t buffer_bytes() const override { return kBufferBytes; }
  void write(void* destination, size_t bytes, FunctionRef<void(std::byte*)> fill) override;
  Status finish() override;

 private:
  CudaUploader(int device, PinnedMemory memory);
  void note(cudaError_t error);

  int device_;
  PinnedMemory memory_;
  cudaStream_t stream_ = nullptr;
  std::vector<cudaEvent_t> copied_;  // by buffer
  std::mutex mutex_;
  std::condition_variable returned_;
  std::deque<int> free_;               // buffers nobody fills, the one copied longest ago first
  cudaError_t failure_ = cudaSuccess;  // the first
};

}  // namespace lmdeploy::cuda
