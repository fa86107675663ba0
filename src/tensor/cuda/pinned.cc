#include "tensor/cuda/pinned.h"

#include <cuda_runtime.h>

namespace lmdeploy::cuda {

Result<PinnedMemory> PinnedMemory::allocate(size_t bytes) {
  void* data = nullptr;
  const cudaError_t error =
      cudaHostAlloc(&data, bytes, cudaHostAllocPortable | cudaHostAllocMapped);
  if (error != cudaSuccess) {
    cudaGetLastError();  // clears it
    return resource_exhausted(
        "{:.1f} MiB of pinned host memory cannot be had ({}); is the limit on locked memory "
        "(ulimit "
        "-l) or the machine's memory too small?",
        static_cast<double>(bytes) / (1 << 20), cudaGetErrorString(error));
  }
  PinnedMemory memory;
  memory.data_ = static_cast<std::byte*>(data);
  memory.bytes_ = bytes;
  return memory;
}

// Fails only when the context is gone, and the memory with it.
PinnedMemory::~PinnedMemory() {
  if (data_ != nullptr) cudaFreeHost(data_);
}

}  // namespace lmdeploy::cuda
