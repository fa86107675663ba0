// Uploader: host data to device memory through a ring of pinned buffers, for loading weights: many
// threads fill buffers, the device's copy engine empties them meanwhile. Host memory is bounded by
// the ring.
#pragma once

#include <cstddef>
#include <memory>

#include "base/function_ref.h"
#include "base/status.h"
#include "tensor/device.h"

namespace lmdeploy {

// Thread-safe.
class Uploader {
 public:
  virtual ~Uploader() = default;
  virtual Device device() const = 0;
  // The most bytes of one write.
  virtual size_t buffer_bytes() const = 0;
  // Calls fill(buffer), which writes `bytes` bytes; they are on their way to `destination` when this
  // returns. Waits while every buffer is on its way.
  virtual void write(void* destination, size_t bytes, FunctionRef<void(std::byte*)> fill) = 0;
  // Returns when everything written is in device memory. kInternal when the device failed.
  virtual Status finish() = 0;
};

// kResourceExhausted when the host has no memory to pin.
Result<std::unique_ptr<Uploader>> make_uploader(Device device);

}  // namespace lmdeploy
