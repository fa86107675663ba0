// Tensor owns its memory and only moves; TensorView borrows. Both are row-major; a view may have a
// larger stride between its rows (dimension 0), so that q, k and v can be columns of one matrix.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/check.h"
#include "tensor/device.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace lmdeploy {

class TensorView {
 public:
  TensorView() = default;
  TensorView(void* data, DType dtype, Shape shape, Device device = {})
      : data_(data), dtype_(dtype), device_(device), shape_(shape), row_stride_(elems_per_row()) {}

  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  const Shape& shape() const { return shape_; }
  int64_t dim(int axis) const { return shape_[axis]; }
  int64_t rows() const { return shape_.rank() == 0 ? 1 : shape_[0]; }
  // Elements from one row (dimension 0) to the next.
  int64_t row_stride() const { return row_stride_; }
  bool contiguous() const { return row_stride_ == elems_per_row(); }
  bool empty() const { return data_ == nullptr; }

  void* raw() const { return data_; }
  template <class T>
  T* data() const {
    return static_cast<T*>(data_);
  }
  template <class T>
  T* row(int64_t i) const {
    return static_cast<T*>(data_) + i * row_stride_;
  }

  // Rows [begin, begin + count).
  TensorView rows(int64_t begin, int64_t count) const {
    CHECK(begin >= 0 && begin + count <= rows(), "rows [{}, {}) of {}", begin, begin + count, rows());
    Shape shape{count};
    for (int axis = 1; axis < shape_.rank(); ++axis) shape.push_back(shape_[axis]);
    TensorView view(static_cast<std::byte*>(data_) + dtype_bytes(dtype_, begin * row_stride_), dtype_,
                    shape, device_);
    view.row_stride_ = row_stride_;
    return view;
  }
  // Columns [begin, begin + count) of a matrix.
  TensorView columns(int64_t begin, int64_t count) const {
    CHECK(shape_.rank() == 2 && begin >= 0 && begin + count <= shape_[1], "columns [{}, {}) of {}",
          begin, begin + count, shape_.to_string());
    TensorView view(static_cast<std::byte*>(data_) + dtype_bytes(dtype_, begin), dtype_,
                    Shape{shape_[0], count}, device_);
    view.row_stride_ = row_stride_;
    return view;
  }

 private:
  int64_t elems_per_row() const {
    int64_t n = 1;
    for (int axis = 1; axis < shape_.rank(); ++axis) n *= shape_[axis];
    return n;
  }

  void* data_ = nullptr;
  DType dtype_ = DType::kF32;
  Device device_;
  Shape shape_;
  int64_t row_stride_ = 0;
};

class Tensor {
 public:
  Tensor() = default;
  // Zeroed memory; CHECKs when there is none: sums are checked against the memory before loading.
  Tensor(Shape shape, DType dtype, Device device = {});
  // A part of `owner`'s memory, which is kept alive.
  Tensor(const TensorView& view, std::shared_ptr<const Tensor> owner);
  ~Tensor();
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(Tensor&& other) noexcept;

  const TensorView& view() const { return view_; }
  operator const TensorView&() const { return view_; }
  const Shape& shape() const { return view_.shape(); }
  DType dtype() const { return view_.dtype(); }
  size_t bytes() const { return bytes_; }
  bool empty() const { return view_.empty(); }
  template <class T>
  T* data() const {
    return view_.data<T>();
  }

 private:
  TensorView view_;
  size_t bytes_ = 0;
  std::shared_ptr<const Tensor> owner_;  // empty: the memory is this tensor's
};

}  // namespace lmdeploy
