#include "tensor/cuda/runtime.h"

#include "tensor/cuda/stream.h"
#include "tensor/cuda/uploader.h"
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

CudaProperties properties_of(int device) {
  cudaDeviceProp device_properties{};
  CUDA_CHECK(cudaGetDeviceProperties(&device_properties, device));
  return {.compute_capability = device_properties.major * 10 + device_properties.minor,
          .multiprocessors = device_properties.multiProcessorCount,
          .shared_bytes = device_properties.sharedMemPerBlockOptin,
          .l2_bytes = static_cast<size_t>(device_properties.l2CacheSize),
          .name = device_properties.name};
}

// The calling thread's own stream: unlike the default stream, whose work is not ordered with that of
// non-blocking streams, it is waited for here.
cudaError_t finished(cudaError_t issued) {
  return issued == cudaSuccess ? cudaStreamSynchronize(cudaStreamPerThread) : issued;
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
  if (error == cudaSuccess) error = finished(cudaMemsetAsync(memory, 0, bytes, cudaStreamPerThread));
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

// Fails only when the context is gone, and the memory with it.
void free(int device, void* memory) {
  const DeviceGuard guard(device);
  cudaFree(memory);
}

void copy(void* destination, const void* source, size_t bytes) {
  CUDA_CHECK(finished(
      cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDefault, cudaStreamPerThread)));
}

void fill(int device, void* memory, uint8_t byte, size_t bytes) {
  const DeviceGuard guard(device);
  CUDA_CHECK(finished(cudaMemsetAsync(memory, byte, bytes, cudaStreamPerThread)));
}

Result<DeviceMemory> memory(int device) {
  const DeviceGuard guard(device);
  DeviceMemory memory;
  const cudaError_t error = cudaMemGetInfo(&memory.free, &memory.total);
  if (error == cudaSuccess) return memory;
  return unavailable("GPU {} does not say how much memory it has: {}", device,
                     cudaGetErrorString(error));
}

Result<std::unique_ptr<Stream>> make_stream(int device) {
  ASSIGN_OR_RETURN(const CudaStream::Options options, CudaStream::options_from_environment());
  RETURN_IF_ERROR(device_ready(device));
  const DeviceGuard guard(device);
  ASSIGN_OR_RETURN(void* tickets, allocate(device, CudaStream::kTickets * sizeof(unsigned)));
  cudaStream_t stream = nullptr;
  const cudaError_t error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  if (error != cudaSuccess) {
    cudaGetLastError();  // clears it
    cudaFree(tickets);
    return unavailable("GPU {} does not start: {}; use --device cpu", device,
                       cudaGetErrorString(error));
  }
  return std::unique_ptr<Stream>(
      std::make_unique<CudaStream>(device, stream, static_cast<unsigned*>(tickets),
                                   properties_of(device), options));
}

Result<std::unique_ptr<Uploader>> make_uploader(int device) { return CudaUploader::make(device); }

}  // namespace lmdeploy::cuda
