// The CUDA runtime as the rest of tensor/ sees it. Implemented in tensor/cuda/ and, for builds
// without CUDA, in tensor/none/, where everything but probe() says that CUDA is not built in.
#pragma once

#include <cstddef>
#include <memory>

#include "base/status.h"
#include "tensor/device.h"
#include "tensor/stream.h"

namespace lmdeploy::cuda {

CudaProbe probe();
Result<void*> allocate(int device, size_t bytes);
void free(int device, void* memory);
// Any direction, synchronous.
void copy(void* destination, const void* source, size_t bytes);
Result<std::unique_ptr<Stream>> make_stream(int device);

}  // namespace lmdeploy::cuda
