// The pickle inside a torch file, read without executing anything: a machine that knows the opcodes
// and the globals that torch.save writes for a state dict and refuses all others by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tensor/dtype.h"

namespace lmdeploy {

// A tensor of a state dict: where its elements are in which storage. Nothing is checked against the
// storage yet. Views lie in the pickle.
struct PickledTensor {
  std::string_view name;
  std::string_view storage;  // key of the storage's file, data/<key>
  DType dtype;
  int64_t storage_elements;
  int64_t offset;  // of the first element, in elements
  std::vector<int64_t> shape, strides;
};

// `pickle`: data.pkl whole, of at most 64 MiB. Memory and time grow with its size alone, whatever
// it says. kUnsupported for an opcode or a global that no state dict needs (nothing was called),
// kDataLoss for bytes that are no pickle.
Result<std::vector<PickledTensor>> read_state_dict(std::span<const std::byte> pickle,
                                                   std::string_view path);

}  // namespace lmdeploy
