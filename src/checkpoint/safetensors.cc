#include "checkpoint/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "base/json.h"
#include "checkpoint/problem_list.h"

namespace lmdeploy {

namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is read as it lies");

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = uint64_t{100} << 20;
constexpr size_t kMaxHeaderDepth = 8;

struct NamedDType {
  std::string_view name;
  DType dtype;
};
constexpr NamedDType kDTypes[] = {
    {"F32", DType::kF32},   {"F16", DType::kF16},        {"BF16", DType::kBF16},
    {"F64", DType::kF64},   {"I64", DType::kI64},        {"I32", DType::kI32},
    {"I16", DType::kI16},   {"I8", DType::kI8},          {"U8", DType::kU8},
    {"BOOL", DType::kBool}, {"F8_E4M3", DType::kF8E4M3}, {"F8_E5M2", DType::kF8E5M2},
};

std::optional<DType> dtype_of(std::string_view name) {
  for (const NamedDType& known : kDTypes) {
    if (known.name == name) return known.dtype;
  }
  return std::nullopt;
}

std::string_view text_of(const json::string& text) { return {text.data(), text.size()}; }

// A non-negative integer that fits.
std::optional<uint64_t> size_of(const json::value& value) {
  if (const int64_t* number = value.if_int64(); number != nullptr && *number >= 0) {
    return static_cast<uint64_t>(*number);
  }
  if (const uint64_t* number = value.if_uint64()) return *number;
  return std::nullopt;
}

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, std::string_view path) : bytes_(bytes), path_(path) {}

  Result<std::vector<StoredTensor>> parse() {
    ASSIGN_OR_RETURN(const json::object header, read_header());
    for (const auto& [key, value] : header) {
      const std::string_view name(key.data(), key.size());
      if (name != "__metadata__") read_tensor(name, value);
    }
    if (tensors_.empty() && problems_.empty()) problems_.add("the header names no tensor");
    check_layout();
    const bool damaged = problems_.size() > unsupported_;
    RETURN_IF_ERROR(
        problems_.status(damaged ? StatusCode::kDataLoss : StatusCode::kUnsupported, path_));
    return std::move(tensors_);
  }

 private:
  Result<json::object> read_header() {
    uint64_t length = 0;
    if (bytes_.size() < kLengthBytes) {
      return data_loss("{} has {} bytes; a safetensors file begins with 8 bytes of header length",
                       path_, bytes_.size());
    }
    std::memcpy(&length, bytes_.data(), sizeof(length));
    if (length > kMaxHeaderBytes) {
      return data_loss(
          "{} claims a header of {} bytes; at most {} are accepted. It is no safetensors "
          "file or is damaged",
          path_, length, kMaxHeaderBytes);
    }
    if (length > bytes_.size() - kLengthBytes) {
      return data_loss(
          "{} is truncated: its header has {} bytes, the file {}; download or copy it "
          "again",
          path_, length, bytes_.size());
    }
    data_ = bytes_.subspan(kLengthBytes + length);
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + kLengthBytes,
                                length);
    Result<json::value> header = parse_json(text, fmt::format("the header of {}", path_),
                                            {kMaxHeaderDepth, kMaxHeaderBytes});
    if (!header.ok()) return data_loss("{}", header.status().message());
    json::object* object = header->if_object();
    if (object == nullptr) return data_loss("the header of {} is not a JSON object", path_);
    return std::move(*object);
  }

  void read_tensor(std::string_view name, const json::value& value) {
    const json::object* entry = value.if_object();
    const json::value* dtype = entry == nullptr ? nullptr : find(*entry, "dtype");
    const json::value* shape = entry == nullptr ? nullptr : find(*entry, "shape");
    const json::value* offsets = entry == nullptr ? nullptr : find(*entry, "data_offsets");
    if (dtype == nullptr || !dtype->is_string() || shape == nullptr || !shape->is_array() ||
        offsets == nullptr || !offsets->is_array() || offsets->get_array().size() != 2) {
      problems_.add("tensor '{}' lacks a dtype, a shape or a pair of data_offsets", name);
      return;
    }
    const std::optional<DType> type = dtype_of(text_of(dtype->get_string()));
    if (!type) {
      ++unsupported_;
      problems_.add("tensor '{}' has dtype {}, which this version does not read", name,
                    text_of(dtype->get_string()));
      return;
    }
    StoredTensor tensor{std::string(name), *type, {}, nullptr, 0};
    if (!read_shape(shape->get_array(), tensor)) return;
    place(offsets->get_array(), tensor);
  }

  // Sets shape and bytes.
  bool read_shape(const json::array& dims, StoredTensor& tensor) {
    if (dims.size() > static_cast<size_t>(Shape::kMaxRank)) {
      problems_.add("tensor '{}' has {} dimensions; at most {} are possible", tensor.name,
                    dims.size(), Shape::kMaxRank);
      return false;
    }
    uint64_t bytes = static_cast<uint64_t>(dtype_bytes(tensor.dtype, 1));
    for (const json::value& dim : dims) {
      const std::optional<uint64_t> extent = size_of(dim);
      if (!extent || *extent > static_cast<uint64_t>(INT64_MAX) ||
          __builtin_mul_overflow(bytes, *extent, &bytes) ||
          bytes > static_cast<uint64_t>(INT64_MAX)) {
        problems_.add("tensor '{}' has an impossible shape {}", tensor.name,
                      to_json_text(json::value(dims)));
        return false;
      }
      tensor.shape.push_back(static_cast<int64_t>(*extent));
    }
    tensor.bytes = bytes;
    return true;
  }

  void place(const json::array& offsets, StoredTensor& tensor) {
    const std::optional<uint64_t> begin = size_of(offsets[0]), end = size_of(offsets[1]);
    if (!begin || !end || *end < *begin) {
      problems_.add("tensor '{}' has impossible data_offsets {}", tensor.name,
                    to_json_text(json::value(offsets)));
      return;
    }
    if (*end - *begin != tensor.bytes) {
      problems_.add("tensor '{}' {} {} needs {} bytes; its data_offsets hold {}", tensor.name,
                    dtype_name(tensor.dtype), tensor.shape.to_string(), tensor.bytes,
                    *end - *begin);
      return;
    }
    if (*end > data_.size()) {
      problems_.add(
          "tensor '{}' ends at byte {} of the data, which has {}: the file is truncated; "
          "download or copy it again",
          tensor.name, *end, data_.size());
      return;
    }
    tensor.data = data_.data() + *begin;
    tensors_.push_back(std::move(tensor));
  }

  // The tensors in the order of their data must touch each other and fill the file. A hole is only
  // a finding when no tensor was left out for another reason.
  void check_layout() {
    std::vector<const StoredTensor*> order;
    for (const StoredTensor& tensor : tensors_) order.push_back(&tensor);
    std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
      return a->data != b->data ? a->data < b->data : a->bytes < b->bytes;
    });
    const bool complete = problems_.empty();
    const std::byte* end = data_.data();
    const StoredTensor* previous = nullptr;
    for (const StoredTensor* tensor : order) {
      if (tensor->data < end) {
        problems_.add("tensor '{}' overlaps '{}'", tensor->name, previous->name);
      } else if (tensor->data > end && complete) {
        problems_.add("{} bytes before tensor '{}' belong to no tensor", tensor->data - end,
                      tensor->name);
      }
      if (tensor->data + tensor->bytes > end || previous == nullptr) previous = tensor;
      end = std::max(end, tensor->data + tensor->bytes);
    }
    const std::byte* file_end = data_.data() + data_.size();
    if (complete && end < file_end) {
      problems_.add("{} bytes at the end of the file belong to no tensor", file_end - end);
    }
  }

  std::span<const std::byte> bytes_, data_;
  std::string_view path_;
  std::vector<StoredTensor> tensors_;
  ProblemList problems_;
  size_t unsupported_ = 0;
};

}  // namespace

Result<std::vector<StoredTensor>> parse_safetensors(std::span<const std::byte> bytes,
                                                         std::string_view path) {
  return Parser(bytes, path).parse();
}

}  // namespace lmdeploy
