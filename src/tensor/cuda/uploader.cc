#include "tensor/cuda/uploader.h"

#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

Result<std::unique_ptr<Uploader>> CudaUploader::make(int device) {
  const DeviceGuard guard(device);
  ASSIGN_OR_RETURN(PinnedMemory memory, PinnedMemory::allocate(kBufferBytes * kBuffers));
  return std::unique_ptr<Uploader>(new CudaUploader(device, std::move(memory)));
}

CudaUploader::CudaUploader(int device, PinnedMemory memory)
    : device_(device), memory_(std::move(memory)), copied_(kBuffers) {
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  for (int i = 0; i < kBuffers; ++i) {
    CUDA_CHECK(cudaEventCreateWithFlags(&copied_[static_cast<size_t>(i)],
                                        cudaEventDisableTiming | cudaEventBlockingSync));
    free_.push_back(i);
  }
}

CudaUploader::~CudaUploader() {
  const DeviceGuard guard(device_);
  cudaStreamSynchronize(stream_);
  for (cudaEvent_t event : copied_) cudaEventDestroy(event);
  cudaStreamDestroy(stream_);
}

void CudaUploader::note(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::lock_guard lock(mutex_);
  if (failure_ == cudaSuccess) failure_ = error;
}

void CudaUploader::write(void* destination, size_t bytes, FunctionRef<void(std::byte*)> fill) {
  CHECK(bytes <= kBufferBytes, "a write of {} bytes; at most {}", bytes, kBufferBytes);
  const DeviceGuard guard(device_);
  int buffer = 0;
  {
    std::unique_lock lock(mutex_);
    returned_.wait(lock, [&] { return !free_.empty(); });
    buffer = free_.front();
    free_.pop_front();
  }
  const cudaEvent_t copied = copied_[static_cast<size_t>(buffer)];
  note(cudaEventSynchronize(copied));
  std::byte* staging = memory_.data() + static_cast<size_t>(buffer) * kBufferBytes;
  fill(staging);
  note(cudaMemcpyAsync(destination, staging, bytes, cudaMemcpyHostToDevice, stream_));
  note(cudaEventRecord(copied, stream_));
  {
    std::lock_guard lock(mutex_);
    free_.push_back(buffer);
  }
  returned_.notify_one();
}

Status CudaUploader::finish() {
  const DeviceGuard guard(device_);
  note(cudaStreamSynchronize(stream_));
  std::lock_guard lock(mutex_);
  if (failure_ == cudaSuccess) return {};
  return internal_error("GPU {} failed while weights were copied to it: {}", device_,
                        cudaGetErrorString(failure_));
}

}  // namespace lmdeploy::cuda
