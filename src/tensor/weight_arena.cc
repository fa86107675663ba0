#include "tensor/weight_arena.h"

#include <algorithm>

namespace lmdeploy {

namespace {
constexpr size_t kChunkBytes = size_t{64} << 20;  // on the CPU only touched pages count
constexpr size_t kAlignment = 256;
// Larger tensors get memory of their own: what a chunk has left is never more than this.
constexpr size_t kSharedBytes = size_t{4} << 20;
}  // namespace

Tensor WeightArena::allocate(Shape shape, DType dtype) {
  const auto bytes = static_cast<size_t>(dtype_bytes(dtype, shape.numel()));
  const size_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (!device_.is_cpu() && size > kSharedBytes) return Tensor(shape, dtype, device_);
  std::lock_guard lock(mutex_);
  if (!chunk_ || used_ + size > chunk_->bytes()) {
    chunk_ = std::make_shared<Tensor>(Shape{static_cast<int64_t>(std::max(size, kChunkBytes))},
                                      DType::kU8, device_);
    used_ = 0;
  }
  const TensorView view(chunk_->data<std::byte>() + used_, dtype, shape, device_);
  used_ += size;
  return Tensor(view, chunk_);
}

}  // namespace lmdeploy
