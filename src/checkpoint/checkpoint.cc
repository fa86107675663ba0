#include "checkpoint/checkpoint.h"

#include <filesystem>

#include "checkpoint/gguf_checkpoint.h"
#include "checkpoint/hf_checkpoint.h"
#include "checkpoint/mapped_file.h"

namespace lmdeploy {

Result<std::unique_ptr<Checkpoint>> Checkpoint::open(const std::string& path,
                                                     CheckpointParts parts) {
  const std::filesystem::path file(path);
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(file, error);
  if (!std::filesystem::exists(status)) return not_found("{} does not exist", path);
  if (std::filesystem::is_directory(status)) return open_hf_checkpoint(path, parts);
  if (file.extension() == ".safetensors" || file.extension() == ".bin" || file.extension() == ".json") {
    return invalid_argument("{} is one file of a model; pass the directory that holds it", path);
  }
  if (file.extension() == ".pth" || file.extension() == ".pt") {
    return unsupported(
        "{} is a torch file by itself, which is not read; take the model's Hugging Face directory or a "
        "GGUF file",
        path);
  }
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

void Checkpoint::prefault(const std::byte* data, size_t bytes) const { prefault_pages(data, bytes); }

void Checkpoint::release(const std::byte* data, size_t bytes) const { release_pages(data, bytes); }

}  // namespace lmdeploy
