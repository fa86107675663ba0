#include "checkpoint/gguf_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

namespace lmdeploy {

namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read as it lies in the file");

constexpr std::string_view kMagic = "GGUF";
constexpr uint32_t kLastValueType = static_cast<uint32_t>(GgufType::kF64);
constexpr uint64_t kDefaultAlignment = 32;
constexpr int kMaxDims = 4;
constexpr size_t kMaxNameBytes = 1024;
// The largest real headers have 30 MB, 100 values and 2,000 tensors.
constexpr size_t kMaxHeaderBytes = size_t{512} << 20;
constexpr uint64_t kMaxValues = 1 << 16, kMaxTensors = 1 << 18;

size_t scalar_bytes(GgufType type) {
  static constexpr uint8_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kBytes[static_cast<size_t>(type)];
}

// What is known of ggml's tensor types: those that are read have a dtype, the rest a name for the
// refusal.
struct GgmlType {
  uint32_t id;
  const char* name;
  std::optional<DType> dtype;
};
constexpr GgmlType kGgmlTypes[] = {
    {0, "F32", DType::kF32},    {1, "F16", DType::kF16},
    {2, "Q4_0", DType::kQ4_0},  {3, "Q4_1", DType::kQ4_1},
    {6, "Q5_0", DType::kQ5_0},  {7, "Q5_1", DType::kQ5_1},
    {8, "Q8_0", DType::kQ8_0},  {9, "Q8_1", {}},
    {10, "Q2_K", {}},           {11, "Q3_K", {}},
    {12, "Q4_K", DType::kQ4_K}, {13, "Q5_K", DType::kQ5_K},
    {14, "Q6_K", DType::kQ6_K}, {15, "Q8_K", {}},
    {16, "IQ2_XXS", {}},        {17, "IQ2_XS", {}},
    {18, "IQ3_XXS", {}},        {19, "IQ1_S", {}},
    {20, "IQ4_NL", {}},         {21, "IQ3_S", {}},
    {22, "IQ2_S", {}},          {23, "IQ4_XS", {}},
    {24, "I8", DType::kI8},     {25, "I16", DType::kI16},
    {26, "I32", DType::kI32},   {27, "I64", DType::kI64},
    {28, "F64", DType::kF64},   {29, "IQ1_M", {}},
    {30, "BF16", DType::kBF16}, {34, "TQ1_0", {}},
    {35, "TQ2_0", {}},          {39, "MXFP4", {}},
    {40, "NVFP4", {}},
};

// Reads forward through the header; once a read goes past the end every later one fails too.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }
  const std::byte* here() const { return bytes_.data() + position_; }

  bool skip(uint64_t count) {
    if (count > remaining()) return false;
    position_ += count;
    return true;
  }
  template <class T>
  bool read(T& out) {
    if (sizeof(T) > remaining()) return false;
    std::memcpy(&out, here(), sizeof(T));
    position_ += sizeof(T);
    return true;
  }
  bool read_string(std::string_view& out) {
    uint64_t length = 0;
    if (!read(length) || length > remaining()) return false;
    out = {reinterpret_cast<const char*>(here()), length};
    position_ += length;
    return true;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
};

std::string_view string_at(const std::byte* data) {
  uint64_t length = 0;
  std::memcpy(&length, data, sizeof(length));
  return {reinterpret_cast<const char*>(data) + sizeof(length), length};
}

template <class T>
T load(const std::byte* data) {
  T value;
  std::memcpy(&value, data, sizeof(T));
  return value;
}

std::optional<int64_t> integer_at(GgufType type, const std::byte* data) {
  switch (type) {
    case GgufType::kU8: return load<uint8_t>(data);
    case GgufType::kI8: return load<int8_t>(data);
    case GgufType::kU16: return load<uint16_t>(data);
    case GgufType::kI16: return load<int16_t>(data);
    case GgufType::kU32: return load<uint32_t>(data);
    case GgufType::kI32: return load<int32_t>(data);
    case GgufType::kBool: return load<uint8_t>(data) != 0;
    case GgufType::kI64: return load<int64_t>(data);
    case GgufType::kU64: {
      const uint64_t value = load<uint64_t>(data);
      if (value > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
      return static_cast<int64_t>(value);
    }
    default: return std::nullopt;
  }
}

// Steps over `count` values of `type`; false when they do not fit in the file.
bool skip_values(Cursor& cursor, GgufType type, uint64_t count) {
  if (type != GgufType::kString) {
    const size_t each = scalar_bytes(type);
    return count <= cursor.remaining() / each && cursor.skip(count * each);
  }
  std::string_view ignored;
  for (uint64_t i = 0; i < count; ++i) {
    if (!cursor.read_string(ignored)) return false;
  }
  return true;
}

// Reads the header's parts in order; the first that cannot be read ends it, since nothing after it
// can be located.
class Parser {
 public:
  Parser(std::span<const std::byte> bytes, std::string_view path)
      : bytes_(bytes),
        path_(path),
        cursor_(bytes.first(std::min(bytes.size(), kMaxHeaderBytes))) {}

  Result<GgufFile> parse() {
    RETURN_IF_ERROR(read_header());
    RETURN_IF_ERROR(read_metadata());
    RETURN_IF_ERROR(read_tensor_table());
    RETURN_IF_ERROR(read_alignment());
    place_tensors();
    RETURN_IF_ERROR(
        problems_.status(unsupported_ ? StatusCode::kUnsupported : StatusCode::kDataLoss, path_));
    return std::move(file_);
  }

 private:
  struct PlacedTensor {
    size_t index;
    uint64_t offset;
  };

  // `where` is a part of the header that does not end within the file, or not within kMaxHeaderBytes.
  Status truncated(std::string_view where) const {
    if (bytes_.size() > kMaxHeaderBytes) {
      return data_loss("{} is damaged: {}, at byte {}, is not complete {} bytes from the beginning", path_,
                       where, cursor_.position(), kMaxHeaderBytes);
    }
    return data_loss(
        "{} is truncated or damaged: the file ends ({} bytes) inside {}, at byte {}; "
        "download or copy it again",
        path_, bytes_.size(), where, cursor_.position());
  }

  Status read_header() {
    if (bytes_.size() < kMagic.size() ||
        std::memcmp(bytes_.data(), kMagic.data(), kMagic.size()) != 0) {
      return data_loss("{} is not a GGUF file: it does not begin with 'GGUF'", path_);
    }
    cursor_.skip(kMagic.size());
    if (!cursor_.read(file_.version)) return truncated("the header");
    if (file_.version != 0 && (file_.version & 0xFFFF) == 0) {
      return unsupported(
          "{} is a big-endian GGUF file; convert it to little-endian "
          "(gguf-py's gguf_convert_endian.py)",
          path_);
    }
    if (file_.version < 2 || file_.version > 3) {
      return unsupported(
          "{} is GGUF version {}; versions 2 and 3 are read. Convert the model again "
          "with a current llama.cpp",
          path_, file_.version);
    }
    if (!cursor_.read(tensor_count_) || !cursor_.read(value_count_)) return truncated("the header");
    // The smallest tensor entry has 24 bytes and the smallest value 13: larger counts are lies.
    if (tensor_count_ > bytes_.size() / 24 || value_count_ > bytes_.size() / 13) {
      return data_loss(
          "{} claims {} tensors and {} metadata values, more than its {} bytes can hold", path_,
          tensor_count_, value_count_, bytes_.size());
    }
    if (tensor_count_ > kMaxTensors || value_count_ > kMaxValues) {
      return data_loss(
          "{} claims {} tensors and {} metadata values; at most {} and {} are possible", path_,
          tensor_count_, value_count_, kMaxTensors, kMaxValues);
    }
    return Status();
  }

  Status read_metadata() {
    for (uint64_t i = 0; i < value_count_; ++i) {
      std::string_view key;
      uint32_t type = 0;
      if (!cursor_.read_string(key)) return truncated("the metadata");
      if (key.size() > kMaxNameBytes) {
        return data_loss("{}: metadata key {} has {} bytes; at most {} are possible", path_, i,
                         key.size(), kMaxNameBytes);
      }
      if (!cursor_.read(type)) return truncated(fmt::format("metadata value '{}'", key));
      GgufValue value{GgufType::kU8, type == static_cast<uint32_t>(GgufType::kArray), 1, nullptr};
      if (value.is_array && (!cursor_.read(type) || !cursor_.read(value.count))) {
        return truncated(fmt::format("metadata value '{}'", key));
      }
      if (type > kLastValueType || type == static_cast<uint32_t>(GgufType::kArray)) {
        return data_loss("{}: metadata value '{}' has {} {}", path_, key,
                         value.is_array ? "elements of unknown type" : "unknown type", type);
      }
      value.type = static_cast<GgufType>(type);
      value.data = cursor_.here();
      if (!skip_values(cursor_, value.type, value.count)) {
        return truncated(fmt::format("metadata value '{}'", key));
      }
      if (!file_.metadata.insert(key, value)) {
        problems_.add("metadata value '{}' occurs twice", key);
      }
    }
    return Status();
  }

  Status read_tensor_table() {
    std::unordered_set<std::string_view> names;
    for (uint64_t i = 0; i < tensor_count_; ++i) {
      std::string_view name;
      uint32_t dims = 0;
      if (!cursor_.read_string(name) || !cursor_.read(dims)) return truncated("the tensor table");
      if (name.empty() || name.size() > kMaxNameBytes) {
        return data_loss("{}: the name of tensor {} has {} bytes; 1 to {} are possible", path_, i,
                         name.size(), kMaxNameBytes);
      }
      if (dims > kMaxDims) {
        return data_loss("{}: tensor '{}' has {} dimensions; at most {} are possible", path_, name,
                         dims, kMaxDims);
      }
      uint64_t extents[kMaxDims] = {};
      uint32_t type = 0;
      uint64_t offset = 0;
      for (uint32_t axis = 0; axis < dims; ++axis) {
        if (!cursor_.read(extents[axis])) return truncated("the tensor table");
      }
      if (!cursor_.read(type) || !cursor_.read(offset)) return truncated("the tensor table");
      if (!names.insert(name).second) problems_.add("tensor '{}' occurs twice", name);
      add_tensor(name, {extents, dims}, type, offset);
    }
    return Status();
  }

  void add_tensor(std::string_view name, std::span<const uint64_t> extents, uint32_t type,
                  uint64_t offset) {
    const auto* known = std::find_if(std::begin(kGgmlTypes), std::end(kGgmlTypes),
                                     [&](const GgmlType& t) { return t.id == type; });
    if (known == std::end(kGgmlTypes) || !known->dtype) {
      unsupported_ = true;
      const std::string type_name = known == std::end(kGgmlTypes)
                                        ? fmt::format("of unknown ggml type {}", type)
                                        : known->name;
      problems_.add(
          "tensor '{}' is {}; read are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, "
          "Q5_K and Q6_K: take a file in one of them, or quantize the model again",
          name, type_name);
      return;
    }
    GgufTensor tensor{name, *known->dtype, {}, nullptr, 0};
    const DTypeInfo& info = dtype_info(tensor.dtype);
    uint64_t elements = 1;
    for (size_t axis = extents.size(); axis-- > 0;) {
      if (extents[axis] == 0 || __builtin_mul_overflow(elements, extents[axis], &elements) ||
          elements > static_cast<uint64_t>(INT64_MAX) / 8) {
        problems_.add("tensor '{}' has an impossible shape", name);
        return;
      }
      tensor.shape.push_back(static_cast<int64_t>(extents[axis]));
    }
    const uint64_t row = extents.empty() ? 1 : extents[0];
    if (row % static_cast<uint64_t>(info.block_elems) != 0) {
      problems_.add("tensor '{}' has rows of {} elements, no whole blocks of {} ({})", name, row,
                    info.block_elems, known->name);
      return;
    }
    tensor.bytes = static_cast<size_t>(dtype_bytes(tensor.dtype, static_cast<int64_t>(elements)));
    placed_.push_back({file_.tensors.size(), offset});
    file_.tensors.push_back(tensor);
  }

  Status read_alignment() {
    const std::optional<int64_t> value = file_.metadata.integer("general.alignment", problems_);
    if (!value) return Status();
    if (*value < 1 || *value > (1 << 20) || !std::has_single_bit(static_cast<uint64_t>(*value))) {
      return data_loss("{}: general.alignment is {}; expected a power of two up to 2^20", path_,
                       *value);
    }
    alignment_ = static_cast<uint64_t>(*value);
    return Status();
  }

  uint64_t aligned(uint64_t offset) const {
    return (offset + alignment_ - 1) / alignment_ * alignment_;
  }

  // Finds each tensor's data and checks that they follow each other, padded to the alignment.
  void place_tensors() {
    const uint64_t data_begin = std::min<uint64_t>(aligned(cursor_.position()), bytes_.size());
    const uint64_t data_bytes = bytes_.size() - data_begin;
    std::sort(placed_.begin(), placed_.end(), [](const PlacedTensor& a, const PlacedTensor& b) {
      return a.offset != b.offset ? a.offset < b.offset : a.index < b.index;
    });
    const GgufTensor* previous = nullptr;
    uint64_t end = 0;
    for (const PlacedTensor& place : placed_) {
      GgufTensor& tensor = file_.tensors[place.index];
      if (place.offset > data_bytes || tensor.bytes > data_bytes - place.offset) {
        problems_.add(
            "tensor '{}' needs bytes {} to {} of the data, which has {}: the file is "
            "truncated; download or copy it again",
            tensor.name, place.offset,
            static_cast<double>(place.offset) + static_cast<double>(tensor.bytes), data_bytes);
        continue;
      }
      if (place.offset % alignment_ != 0) {
        problems_.add("tensor '{}' begins at byte {} of the data, no multiple of {}", tensor.name,
                      place.offset, alignment_);
      }
      if (previous != nullptr && place.offset < end) {
        problems_.add("tensor '{}' overlaps '{}'", tensor.name, previous->name);
      } else if (place.offset > aligned(end) && !unsupported_) {
        problems_.add("{} bytes before tensor '{}' belong to no tensor", place.offset - end,
                      tensor.name);
      }
      tensor.data = bytes_.data() + data_begin + place.offset;
      end = std::max<uint64_t>(end, place.offset + tensor.bytes);
      previous = &tensor;
    }
  }

  std::span<const std::byte> bytes_;
  std::string_view path_;
  Cursor cursor_;
  GgufFile file_;
  uint64_t tensor_count_ = 0, value_count_ = 0;
  uint64_t alignment_ = kDefaultAlignment;
  std::vector<PlacedTensor> placed_;
  bool unsupported_ = false;
  ProblemList problems_;
};

// Whether an array has at most kMaxElements; else a problem.
bool bounded(std::string_view key, const GgufValue& value, ProblemList& problems) {
  if (value.count <= GgufMetadata::kMaxElements) return true;
  problems.add("metadata value '{}' has {} elements; at most {} are possible", key, value.count,
               GgufMetadata::kMaxElements);
  return false;
}

// Adds "metadata value 'k' is X; expected Y".
void wrong_type(std::string_view key, const GgufValue& value, const char* expected,
                ProblemList& problems) {
  problems.add("metadata value '{}' is {}{}; expected {}", key,
               value.is_array ? "an array of " : "", gguf_type_name(value.type), expected);
}

}  // namespace

const char* gguf_type_name(GgufType type) {
  static constexpr const char* kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "string", "array", "u64", "i64", "f64"};
  return kNames[static_cast<size_t>(type)];
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

std::optional<int64_t> GgufMetadata::integer(std::string_view key, ProblemList& problems) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const std::optional<int64_t> number =
      value->is_array ? std::nullopt : integer_at(value->type, value->data);
  if (!number) wrong_type(key, *value, "an integer below 2^63", problems);
  return number;
}

std::optional<double> GgufMetadata::real(std::string_view key, ProblemList& problems) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array && value->type == GgufType::kF32) return load<float>(value->data);
  if (!value->is_array && value->type == GgufType::kF64) return load<double>(value->data);
  wrong_type(key, *value, "a floating-point number", problems);
  return std::nullopt;
}

std::optional<bool> GgufMetadata::boolean(std::string_view key, ProblemList& problems) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array && value->type == GgufType::kBool) return load<uint8_t>(value->data) != 0;
  wrong_type(key, *value, "a bool", problems);
  return std::nullopt;
}

std::optional<std::string_view> GgufMetadata::string(std::string_view key,
                                                     ProblemList& problems) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_array || value->type != GgufType::kString) {
    wrong_type(key, *value, "a string", problems);
    return std::nullopt;
  }
  const std::string_view text = string_at(value->data);
  if (text.size() <= kMaxStringBytes) return text;
  problems.add("metadata value '{}' has {} bytes; at most {} are possible", key, text.size(),
               kMaxStringBytes);
  return std::nullopt;
}

std::vector<std::string> GgufMetadata::strings(std::string_view key, ProblemList& problems) const {
  std::vector<std::string> out;
  const GgufValue* value = find(key);
  if (value == nullptr) return out;
  if (!value->is_array || value->type != GgufType::kString) {
    wrong_type(key, *value, "an array of strings", problems);
    return out;
  }
  if (!bounded(key, *value, problems)) return out;
  out.reserve(value->count);
  const std::byte* at = value->data;
  for (uint64_t i = 0; i < value->count; ++i) {
    const std::string_view text = string_at(at);
    out.emplace_back(text);
    at += sizeof(uint64_t) + text.size();
  }
  return out;
}

std::vector<int64_t> GgufMetadata::integers(std::string_view key, ProblemList& problems) const {
  std::vector<int64_t> out;
  const GgufValue* value = find(key);
  if (value == nullptr || !bounded(key, *value, problems)) return out;
  out.reserve(value->count);
  const size_t each = scalar_bytes(value->type);
  for (uint64_t i = 0; i < value->count; ++i) {
    const std::optional<int64_t> number = integer_at(value->type, value->data + i * each);
    if (!value->is_array || !number) {
      wrong_type(key, *value, "an array of integers", problems);
      return {};
    }
    out.push_back(*number);
  }
  return out;
}

std::vector<float> GgufMetadata::floats(std::string_view key, ProblemList& problems) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_array || value->type != GgufType::kF32) {
    wrong_type(key, *value, "an array of f32", problems);
    return {};
  }
  if (!bounded(key, *value, problems)) return {};
  std::vector<float> out(value->count);
  if (!out.empty()) std::memcpy(out.data(), value->data, out.size() * sizeof(float));
  return out;
}

Result<GgufFile> parse_gguf(std::span<const std::byte> bytes, std::string_view path) {
  return Parser(bytes, path).parse();
}

}  // namespace lmdeploy
