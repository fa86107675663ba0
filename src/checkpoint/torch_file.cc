#include "checkpoint/torch_file.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "checkpoint/problem_list.h"
#include "checkpoint/torch_pickle.h"
#include "checkpoint/zip_archive.h"

namespace lmdeploy {

namespace {

// PROTO 2, LONG1 of ten bytes: the magic number of torch.save before 1.6.
constexpr std::string_view kLegacyHead = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr std::string_view kPickleName = "/data.pkl";

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Status refuse_other_formats(std::string_view text, std::string_view path) {
  if (text.starts_with("PK")) return {};
  if (text.starts_with(kLegacyHead)) {
    return unsupported(
        "{} has the format of torch before 1.6, which is not read; write it anew with "
        "torch.save(torch.load('{}', weights_only=True), NEW_FILE), or save the model as "
        "safetensors",
        path, path);
  }
  return data_loss(
      "{} is no torch file: it begins neither with a ZIP archive nor with a pickle of torch", path);
}

// A name may be a path that is cut off at the archive's own top folder.
Result<std::string> top_folder(const ZipEntries& entries, std::string_view path) {
  std::string top;
  for (const auto& [name, data] : entries) {
    if (!name.ends_with(kPickleName)) continue;
    const std::string folder = name.substr(0, name.size() - kPickleName.size());
    if (folder.find('/') != std::string::npos) continue;
    if (!top.empty())
      return data_loss("{} holds two pickles: {}{} and {}", path, top, kPickleName, name);
    top = folder;
  }
  if (top.empty()) {
    return unsupported("{} is a ZIP archive without a data.pkl: torch.save did not write it", path);
  }
  return top;
}

class TorchFile {
 public:
  TorchFile(ZipEntries entries, std::string top, std::string_view path)
      : entries_(std::move(entries)), top_(std::move(top)), path_(path) {}

  Result<std::vector<StoredTensor>> read() {
    const auto order = entries_.find(top_ + "/byteorder");
    if (order != entries_.end() && text_of(order->second) != "little") {
      return unsupported("{} has the byte order '{}'; little-endian files are read", path_,
                         text_of(order->second).substr(0, 20));
    }
    const auto pickle = entries_.find(top_ + std::string(kPickleName));
    ASSIGN_OR_RETURN(const std::vector<PickledTensor> tensors,
                     read_state_dict(pickle->second, path_));
    for (const PickledTensor& tensor : tensors) place(tensor);
    if (tensors.empty()) problems_.add("it names no tensor");
    const bool only_strides = strided_ > 0 && strided_ == problems_.size();
    RETURN_IF_ERROR(
        problems_.status(only_strides ? StatusCode::kUnsupported : StatusCode::kDataLoss, path_));
    return std::move(tensors_);
  }

 private:
  void place(const PickledTensor& tensor) {
    StoredTensor out{std::string(tensor.name), tensor.dtype, {}, nullptr, 0};
    if (!set_shape(tensor, out)) return;
    const auto storage = entries_.find(fmt::format("{}/data/{}", top_, tensor.storage));
    if (storage == entries_.end()) {
      problems_.add("the storage {} of tensor '{}' is not in the file", tensor.storage,
                    tensor.name);
      return;
    }
    const auto width = static_cast<uint64_t>(dtype_bytes(tensor.dtype, 1));
    const uint64_t available = storage->second.size() / width;
    if (tensor.storage_elements < 0 || static_cast<uint64_t>(tensor.storage_elements) > available) {
      problems_.add("the storage {} of tensor '{}' should hold {} {} elements and has {} bytes",
                    tensor.storage, tensor.name, tensor.storage_elements, dtype_name(tensor.dtype),
                    storage->second.size());
      return;
    }
    const auto elements = static_cast<uint64_t>(tensor.storage_elements);
    const uint64_t count = out.bytes / width;
    if (tensor.offset < 0 || static_cast<uint64_t>(tensor.offset) > elements ||
        count > elements - static_cast<uint64_t>(tensor.offset)) {
      problems_.add("tensor '{}' {} begins at element {} of a storage of {}", tensor.name,
                    out.shape.to_string(), tensor.offset, elements);
      return;
    }
    out.data = storage->second.data() + static_cast<uint64_t>(tensor.offset) * width;
    tensors_.push_back(std::move(out));
  }

  // Shape and bytes; the elements must follow each other in row-major order.
  bool set_shape(const PickledTensor& tensor, StoredTensor& out) {
    if (tensor.shape.size() > static_cast<size_t>(Shape::kMaxRank)) {
      problems_.add("tensor '{}' has {} dimensions; at most {} are possible", tensor.name,
                    tensor.shape.size(), Shape::kMaxRank);
      return false;
    }
    int64_t bytes = dtype_bytes(tensor.dtype, 1);
    for (const int64_t extent : tensor.shape) {
      if (extent < 0 || __builtin_mul_overflow(bytes, extent, &bytes)) {
        problems_.add("tensor '{}' has an impossible shape [{}]", tensor.name,
                      fmt::join(tensor.shape, ","));
        return false;
      }
      out.shape.push_back(extent);
    }
    out.bytes = static_cast<size_t>(bytes);
    if (out.bytes == 0 || is_row_major(tensor)) return true;
    ++strided_;
    problems_.add(
        "tensor '{}' {} has strides [{}], a view that is not row-major; save the model after "
        "tensor.contiguous(), or as safetensors",
        tensor.name, out.shape.to_string(), fmt::join(tensor.strides, ","));
    return false;
  }

  static bool is_row_major(const PickledTensor& tensor) {
    int64_t expected = 1;
    for (size_t i = tensor.shape.size(); i-- > 0;) {
      if (tensor.shape[i] != 1 && tensor.strides[i] != expected) return false;
      expected *= tensor.shape[i];
    }
    return true;
  }

  ZipEntries entries_;
  std::string top_;
  std::string_view path_;
  std::vector<StoredTensor> tensors_;
  ProblemList problems_;
  size_t strided_ = 0;
};

}  // namespace

Result<std::vector<StoredTensor>> parse_torch_file(std::span<const std::byte> bytes,
                                                   std::string_view path) {
  RETURN_IF_ERROR(refuse_other_formats(text_of(bytes), path));
  ASSIGN_OR_RETURN(ZipEntries entries, read_zip_directory(bytes, path));
  ASSIGN_OR_RETURN(std::string top, top_folder(entries, path));
  return TorchFile(std::move(entries), std::move(top), path).read();
}

}  // namespace lmdeploy
