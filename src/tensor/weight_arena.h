// WeightArena: memory for a model's packed weights, side by side in huge pages. A matrix of a small
// model is smaller than a huge page; in 4 KiB pages of its own, reading it once a token costs more in
// address translation than in bytes.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>

#include "tensor/tensor.h"

namespace lmdeploy {

// Thread-safe. The memory lives as long as any tensor from it.
class WeightArena {
 public:
  explicit WeightArena(Device device = {}) : device_(device) {}

  // Zeroed, 64-byte aligned (256 on CUDA). CHECKs when there is no memory.
  Tensor allocate(Shape shape, DType dtype);

 private:
  const Device device_;
  std::mutex mutex_;
  std::shared_ptr<Tensor> chunk_;  // the one being filled
  size_t used_ = 0;
};

}  // namespace lmdeploy
