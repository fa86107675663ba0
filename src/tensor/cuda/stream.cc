#include "tensor/cuda/stream.h"

#include <cstdlib>
#include <string_view>

namespace lmdeploy::cuda {

Result<CudaStream::Options> CudaStream::options_from_environment() {
  Options options;
  if (const char* path = std::getenv("LMDEPLOY_CUDA_PATH"); path != nullptr && *path != '\0') {
    if (std::string_view(path) != "portable") {
      return invalid_argument("LMDEPLOY_CUDA_PATH is '{}'; expected 'portable', or nothing for the "
                              "kernels of this GPU's architecture",
                              path);
    }
    options.portable = true;
  }
  const char* level = std::getenv("TM_DEBUG_LEVEL");
  options.debug = level != nullptr && std::string_view(level) == "DEBUG";
  return options;
}

CudaStream::~CudaStream() {
  const DeviceGuard guard(device_);
  states_.clear();
  cudaStreamDestroy(stream_);
  cudaFree(tickets_);
}

void CudaStream::synchronize() { launched("synchronize", cudaStreamSynchronize(stream_)); }

void CudaStream::copy(void* destination, const void* source, size_t bytes) {
  const DeviceGuard guard(device_);
  launched("copy", cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDefault, stream_));
}

void CudaStream::launched(const char* op, cudaError_t error) {
  if (error == cudaSuccess && options_.debug) error = cudaStreamSynchronize(stream_);
  if (error == cudaSuccess || !status_.ok()) return;
  status_ = internal_error("GPU {}: {} failed: {} ({}){}", device_, op, cudaGetErrorString(error),
                           cudaGetErrorName(error),
                           options_.debug ? ""
                                          : "; an earlier op may be the cause: TM_DEBUG_LEVEL=DEBUG "
                                            "checks each by itself");
}

}  // namespace lmdeploy::cuda
