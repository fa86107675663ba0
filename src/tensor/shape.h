// Shape: up to 5 dimensions, row-major.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/check.h"

namespace lmdeploy {

class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    CHECK(dims.size() <= kMaxRank, "rank {}", dims.size());
    for (int64_t dim : dims) dims_[static_cast<size_t>(rank_++)] = dim;
  }

  int rank() const { return rank_; }
  int64_t operator[](int axis) const {
    CHECK(axis >= 0 && axis < rank_, "axis {} of rank {}", axis, rank_);
    return dims_[static_cast<size_t>(axis)];
  }
  void push_back(int64_t dim) {
    CHECK(rank_ < kMaxRank, "rank {}", rank_);
    dims_[static_cast<size_t>(rank_++)] = dim;
  }
  int64_t numel() const {
    int64_t n = 1;
    for (int axis = 0; axis < rank_; ++axis) n *= dims_[static_cast<size_t>(axis)];
    return n;
  }
  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (int axis = 0; axis < rank_; ++axis) {
      if ((*this)[axis] != other[axis]) return false;
    }
    return true;
  }
  // "[64, 576]"
  std::string to_string() const {
    std::string out = "[";
    for (int axis = 0; axis < rank_; ++axis) {
      out += (axis > 0 ? ", " : "") + std::to_string((*this)[axis]);
    }
    return out + "]";
  }

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace lmdeploy
