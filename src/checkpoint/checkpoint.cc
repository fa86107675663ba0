#include "checkpoint/checkpoint.h"

#include "checkpoint/gguf_checkpoint.h"
#include "checkpoint/mapped_file.h"

namespace lmdeploy {

Result<std::unique_ptr<Checkpoint>> Checkpoint::open(const std::string& path) {
  return open_gguf_checkpoint(path);
}

const TensorRecord* Checkpoint::find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

size_t Checkpoint::total_bytes() const {
  size_t sum = 0;
  for (const auto& [name, record] : tensors_) sum += record.bytes;
  return sum;
}

void Checkpoint::release(const std::byte* data, size_t bytes) const { release_pages(data, bytes); }

}  // namespace lmdeploy
