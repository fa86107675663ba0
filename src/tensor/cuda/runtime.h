// The CUDA runtime as the rest of tensor/ sees it. Implemented in tensor/cuda/ and, for builds
// without CUDA, in tensor/none/, where everything but probe() says that CUDA is not built in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/status.h"
#include "tensor/device.h"
#include "tensor/stream.h"
#include "tensor/uploader.h"

namespace lmdeploy::cuda {

CudaProbe probe();
Result<void*> allocate(int device, size_t bytes);
void free(int device, void* memory);
// Any direction, synchronous.
void copy(void* destination, const void* source, size_t bytes);
void fill(int device, void* memory, uint8_t byte, size_t bytes);
Result<DeviceMemory> memory(int device);
Result<std::unique_ptr<Stream>> make_stream(int device);
Result<std::unique_ptr<Uploader>> make_uploader(int device);

}  // namespace lmdeploy::cuda
