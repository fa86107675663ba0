// StoredTensor: a tensor as one weight file (safetensors, torch) holds it.
#pragma once

#include <cstddef>
#include <string>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace lmdeploy {

struct StoredTensor {
  std::string name;
  DType dtype;
  Shape shape;
  const std::byte* data;  // row-major, into the file's bytes; may be unaligned
  size_t bytes;
};

}  // namespace lmdeploy
