// Pinned host memory, which the device reads and writes by itself: for staging and for kernels that
// read or write the host's memory (its device address is its host address). Only for code under a
// cuda/ folder.
#pragma once

#include <cstddef>
#include <utility>

#include "base/status.h"

namespace lmdeploy::cuda {

// Owns its memory and only moves.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  static Result<PinnedMemory> allocate(size_t bytes);
  ~PinnedMemory();
  PinnedMemory(PinnedMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  PinnedMemory& operator=(PinnedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace lmdeploy::cuda
