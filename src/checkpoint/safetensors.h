// Safetensors: the header of one file (docs/formats/safetensors.md), validated.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "checkpoint/stored_tensor.h"

namespace lmdeploy {

// Reads the header at the front of `bytes`, a whole file. The data must fill the file after the
// header: no tensor overlaps another, no byte belongs to none. Every problem is named in one
// kDataLoss (kUnsupported when only the dtypes are the problem).
Result<std::vector<StoredTensor>> parse_safetensors(std::span<const std::byte> bytes,
                                                         std::string_view path);

}  // namespace lmdeploy
