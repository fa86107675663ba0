// Device: where memory lives and ops run. Device memory and streams of a kind are made in
// tensor/cpu/ and tensor/cuda/ (tensor/none/ where CUDA is not built).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/status.h"

namespace lmdeploy {

enum class DeviceType : uint8_t { kCpu, kCuda };

struct Device {
  DeviceType type = DeviceType::kCpu;
  int index = 0;
  bool is_cpu() const { return type == DeviceType::kCpu; }
  bool operator==(const Device&) const = default;
};

// What is known of the machine's GPUs without starting any.
struct CudaProbe {
  bool built_in = false;     // this program holds the CUDA backend
  bool driver_found = false; // libcuda.so.1 can be opened
  int devices = 0;           // that the driver reports
  std::string detail;        // driver version and first GPU's name, or why there is none
};
CudaProbe probe_cuda();

// Zero-initialized memory of at least `bytes`, aligned to 64 bytes (256 on CUDA); freed by
// device_free. kResourceExhausted when there is not enough.
Result<void*> device_allocate(Device device, size_t bytes);
void device_free(Device device, void* memory, size_t bytes);

// Copies between any two devices; returns when done. Not for the token path.
void device_copy(Device to, void* destination, Device from, const void* source, size_t bytes);
// Sets every byte; returns when done. Not for the token path.
void device_fill(Device device, void* memory, uint8_t byte, size_t bytes);

// Memory of a GPU: what nobody has taken, and all of it.
struct DeviceMemory {
  size_t free = 0, total = 0;
};
// kInvalidArgument for the CPU, whose memory is the machine's (engine/memory_plan.h).
Result<DeviceMemory> device_memory(Device device);

}  // namespace lmdeploy
