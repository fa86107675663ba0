#include "tensor/tensor.h"

#include <utility>

namespace lmdeploy {

Tensor::Tensor(Shape shape, DType dtype, Device device)
    : bytes_(static_cast<size_t>(dtype_bytes(dtype, shape.numel()))) {
  Result<void*> memory = device_allocate(device, bytes_);
  CHECK(memory.ok(), "{}", memory.status().message());
  view_ = TensorView(*memory, dtype, shape, device);
}

Tensor::Tensor(const TensorView& view, std::shared_ptr<const Tensor> owner)
    : view_(view),
      bytes_(static_cast<size_t>(dtype_bytes(view.dtype(), view.shape().numel()))),
      owner_(std::move(owner)) {}

Tensor::~Tensor() {
  if (!view_.empty() && !owner_) device_free(view_.device(), view_.raw(), bytes_);
}

Tensor::Tensor(Tensor&& other) noexcept
    : view_(std::exchange(other.view_, {})), bytes_(std::exchange(other.bytes_, 0)), owner_(std::move(other.owner_)) {}

Tensor& Tensor::operator=(Tensor&& other) noexcept {
  std::swap(view_, other.view_);
  std::swap(bytes_, other.bytes_);
  std::swap(owner_, other.owner_);
  return *this;
}

}  // namespace lmdeploy
