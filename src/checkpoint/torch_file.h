// A torch file (pytorch_model.bin): the tensors of a state dict that torch.save wrote
// (docs/formats/torch-bin.md). Nothing in the file is executed.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "checkpoint/stored_tensor.h"

namespace lmdeploy {

// `bytes`: a whole file; the tensors point into it, and may share bytes (tied weights). Every
// tensor that does not fit its storage, or is no row-major block of it, is named in one kDataLoss
// (kUnsupported when only strides are the problem). The format before torch 1.6 is kUnsupported.
Result<std::vector<StoredTensor>> parse_torch_file(std::span<const std::byte> bytes,
                                                   std::string_view path);

}  // namespace lmdeploy
