// Safetensors: the header of one file (docs/formats/safetensors.md), validated.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace lmdeploy {

struct SafetensorsTensor {
  std::string name;
  DType dtype;
  Shape shape;
  const std::byte* data;  // into the file's bytes; may be unaligned
  size_t bytes;
};

// Reads the header at the front of `bytes`, a whole file. The data must fill the file after the
// header: no tensor overlaps another, no byte belongs to none. Every problem is named in one
// kDataLoss (kUnsupported when only the dtypes are the problem).
Result<std::vector<SafetensorsTensor>> parse_safetensors(std::span<const std::byte> bytes,
                                                         std::string_view path);

}  // namespace lmdeploy
