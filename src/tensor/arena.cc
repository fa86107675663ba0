#include "tensor/arena.h"

#include <algorithm>

namespace lmdeploy {

namespace {
constexpr size_t kAlignment = 256;
constexpr size_t kChunkBytes = size_t{4} << 20;
}  // namespace

TensorView Arena::allocate(Shape shape, DType dtype) {
  return TensorView(bytes(static_cast<size_t>(dtype_bytes(dtype, shape.numel()))), dtype, shape, device_);
}

void* Arena::bytes(size_t count) {
  const size_t size = (std::max<size_t>(count, 1) + kAlignment - 1) / kAlignment * kAlignment;
  while (chunk_ < chunks_.size() && offset_ + size > chunks_[chunk_].bytes()) {
    below_ += chunks_[chunk_].bytes();
    ++chunk_;
    offset_ = 0;
  }
  if (chunk_ == chunks_.size()) {
    const size_t grown = std::max({size, kChunkBytes, below_});
    chunks_.emplace_back(Shape{static_cast<int64_t>(grown)}, DType::kU8, device_);
  }
  void* memory = chunks_[chunk_].data<std::byte>() + offset_;
  offset_ += size;
  high_water_ = std::max(high_water_, below_ + offset_);
  return memory;
}

void Arena::poison() {
  for (size_t i = chunk_; i < chunks_.size(); ++i) {
    const size_t used = i == chunk_ ? offset_ : 0;
    device_fill(device_, chunks_[i].data<std::byte>() + used, 0xFF, chunks_[i].bytes() - used);
  }
}

}  // namespace lmdeploy
