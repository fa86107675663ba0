#include "tensor/device.h"

#include <cstring>

#include "tensor/cpu/memory.h"
#include "tensor/cuda/runtime.h"
#include "tensor/stream.h"
#include "tensor/uploader.h"

namespace lmdeploy {

CudaProbe probe_cuda() { return cuda::probe(); }

Result<void*> device_allocate(Device device, size_t bytes) {
  if (!device.is_cpu()) return cuda::allocate(device.index, bytes);
  void* memory = cpu::allocate(bytes);
  if (memory == nullptr) {
    return resource_exhausted("no memory for a block of {:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
  }
  return memory;
}

void device_free(Device device, void* memory, size_t bytes) {
  if (device.is_cpu()) {
    cpu::free(memory, bytes);
  } else {
    cuda::free(device.index, memory);
  }
}

void device_copy(Device to, void* destination, Device from, const void* source, size_t bytes) {
  if (to.is_cpu() && from.is_cpu()) {
    std::memcpy(destination, source, bytes);
  } else {
    cuda::copy(destination, source, bytes);
  }
}

void device_fill(Device device, void* memory, uint8_t byte, size_t bytes) {
  if (device.is_cpu()) {
    std::memset(memory, byte, bytes);
  } else {
    cuda::fill(device.index, memory, byte, bytes);
  }
}

Result<DeviceMemory> device_memory(Device device) {
  if (device.is_cpu()) return invalid_argument("the CPU's memory is not a device's");
  return cuda::memory(device.index);
}

Result<std::unique_ptr<Uploader>> make_uploader(Device device) {
  if (device.is_cpu()) return invalid_argument("nothing is uploaded to the CPU");
  return cuda::make_uploader(device.index);
}

Result<std::unique_ptr<Stream>> make_stream(Device device, int cpu_threads, CpuIsa isa,
                                            PoolCores cpu_cores) {
  if (!device.is_cpu()) return cuda::make_stream(device.index);
  return std::unique_ptr<Stream>(std::make_unique<CpuStream>(cpu_threads, isa, cpu_cores));
}

}  // namespace lmdeploy
