// Arena: scratch memory of one forward pass; allocation moves a pointer. It grows while a new
// largest step is met and then never again: steady state allocates nothing.
#pragma once

#include <cstddef>
#include <vector>

#include "tensor/tensor.h"

namespace lmdeploy {

// Not thread-safe: the thread that issues ops owns it.
class Arena {
 public:
  explicit Arena(Device device) : device_(device) {}

  // Uninitialized, 64-byte aligned (256 on CUDA), valid until the ArenaScope around it ends.
  TensorView allocate(Shape shape, DType dtype);
  template <class T>
  T* allocate(int64_t count) {
    return static_cast<T*>(bytes(static_cast<size_t>(count) * sizeof(T)));
  }

  // Bytes in use at the worst moment so far.
  size_t high_water() const { return high_water_; }
  // Fills free memory with NaN bits: tests call it before each step.
  void poison();

 private:
  friend class ArenaScope;
  void* bytes(size_t count);

  Device device_;
  std::vector<Tensor> chunks_;
  size_t chunk_ = 0;        // index of the chunk in use
  size_t offset_ = 0;       // first free byte in it
  size_t below_ = 0;        // bytes of the chunks before it
  size_t high_water_ = 0;
};

// Gives back everything that was allocated during its life.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena)
      : arena_(arena), chunk_(arena.chunk_), offset_(arena.offset_), below_(arena.below_) {}
  ~ArenaScope() {
    arena_.chunk_ = chunk_;
    arena_.offset_ = offset_;
    arena_.below_ = below_;
  }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  size_t chunk_, offset_, below_;
};

}  // namespace lmdeploy
