#include "tensor/cuda/runtime.h"

#include "tensor/cuda/stream.h"
#include "tensor/driver_probe.h"

namespace lmdeploy::cuda {

namespace {

// OK, or why the GPU cannot be used.
Status device_ready(int device) {
  const DriverProbe driver = probe_nvidia_driver();
  if (!driver.found) {
    return unavailable("no NVIDIA driver (libcuda.so.1) on this machine; use --device cpu");
  }
  if (driver.version < CUDART_VERSION) {
    return unavailable(
        "the NVIDIA driver supports CUDA {}.{}, this program needs {}.{}; update the "
        "driver or use --device cpu",
        driver.version / 1000, driver.version % 1000 / 10, CUDART_VERSION / 1000,
        CUDART_VERSION % 1000 / 10);
  }
  if (device >= driver.devices) {
    return unavailable("GPU {} was asked for, but the NVIDIA driver reports {}; use --device cpu",
                       device, driver.devices);
  }
  return {};
}

}  // namespace

CudaProbe probe() {
  const DriverProbe driver = probe_nvidia_driver();
  CudaProbe found{.built_in = true, .driver_found = driver.found, .devices = driver.devices};
  if (!driver.found) {
    found.detail = "no NVIDIA driver (libcuda.so.1) on this machine";
  } else if (driver.devices == 0) {
    found.detail = "the NVIDIA driver does not answer or reports no GPU";
  } else {
    found.detail = fmt::format("CUDA {}.{} driver, {} GPU(s), first {}", driver.version / 1000,
                               driver.version % 1000 / 10, driver.devices, driver.first_name);
  }
  return found;
}

Result<void*> allocate(int device, size_t bytes) {
  const DeviceGuard guard(device);
  void* memory = nullptr;
  cudaError_t error = cudaMalloc(&memory, bytes > 0 ? bytes : 1);
  if (error == cudaSuccess) error = cudaMemset(memory, 0, bytes);
  if (error == cudaSuccess) return memory;
  cudaGetLastError();  // clears it
  if (memory != nullptr) cudaFree(memory);
  size_t available = 0, total = 0;
  cudaMemGetInfo(&available, &total);
  return resource_exhausted(
      "GPU {} has no memory for a block of {:.1f} MiB ({}; {:.1f} of {:.1f} MiB free)", device,
      static_cast<double>(bytes) / (1 << 20), cudaGetErrorString(error),
      static_cast<double>(available) / (1 << 20), static_cast<double>(total) / (1 << 20));
}

void free(int device, void* memory) {
  const DeviceGuard guard(device);
  CUDA_CHECK(cudaFree(memory));
}

void copy(void* destination, const void* source, size_t bytes) {
  CUDA_CHECK(cudaMemcpy(destination, source, bytes, cudaMemcpyDefault));
}

Result<std::unique_ptr<Stream>> make_stream(int device) {
  RETURN_IF_ERROR(device_ready(device));
  const DeviceGuard guard(device);
  cudaStream_t stream = nullptr;
  const cudaError_t error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  if (error != cudaSuccess) {
    cudaGetLastError();  // clears it
    return unavailable("GPU {} does not start: {}; use --device cpu", device,
                       cudaGetErrorString(error));
  }
  return std::unique_ptr<Stream>(std::make_unique<CudaStream>(device, stream));
}

CudaStream::~CudaStream() {
  const DeviceGuard guard(device_);
  cudaStreamDestroy(stream_);
}

void CudaStream::synchronize() { CUDA_CHECK(cudaStreamSynchronize(stream_)); }

}  // namespace lmdeploy::cuda
