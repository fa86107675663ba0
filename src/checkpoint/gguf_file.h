// GgufFile: the header of a GGUF v2/v3 file (docs/formats/gguf.md): metadata and the tensor table,
// validated and not interpreted. Values and names point into the file's bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "checkpoint/problem_list.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace lmdeploy {

// Value types, numbered as in the file.
enum class GgufType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};
const char* gguf_type_name(GgufType type);

struct GgufValue {
  GgufType type;  // of the value, or of the elements of an array
  bool is_array;
  uint64_t count;         // elements; 1 for a scalar
  const std::byte* data;  // the first element; a string is a u64 length and its bytes
};

struct GgufTensor {
  std::string_view name;
  DType dtype;
  Shape shape;  // outermost dimension first (the file stores it innermost first)
  const std::byte* data;
  size_t bytes;
};

// Typed access to metadata. An absent key gives nullopt (or an empty array); a value of another
// type, out of range or longer than the bounds below is added to `problems`.
class GgufMetadata {
 public:
  // A file may be sparse, so that its size says nothing of what it costs to hold it. Vocabularies
  // have up to half a million tokens, and templates up to 100 KB.
  static constexpr uint64_t kMaxElements = uint64_t{1} << 23;
  static constexpr size_t kMaxStringBytes = size_t{16} << 20;

  std::optional<int64_t> integer(std::string_view key, ProblemList& problems) const;
  std::optional<double> real(std::string_view key, ProblemList& problems) const;
  std::optional<bool> boolean(std::string_view key, ProblemList& problems) const;
  std::optional<std::string_view> string(std::string_view key, ProblemList& problems) const;
  std::vector<std::string> strings(std::string_view key, ProblemList& problems) const;
  std::vector<int64_t> integers(std::string_view key, ProblemList& problems) const;
  std::vector<float> floats(std::string_view key, ProblemList& problems) const;

  const GgufValue* find(std::string_view key) const;
  bool insert(std::string_view key, const GgufValue& value) {
    return values_.emplace(key, value).second;
  }

 private:
  std::map<std::string_view, GgufValue> values_;
};

struct GgufFile {
  uint32_t version = 0;
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;  // in file order
};

// Reads the header at the front of `bytes`, a whole file; of a damaged one no more than the first
// 512 MiB. Lengths and offsets are checked against
// it, and tensor data must fill the data section without overlap or hole. kUnsupported for a
// version or a tensor type that is not read, kDataLoss for a damaged file; every problem is named.
Result<GgufFile> parse_gguf(std::span<const std::byte> bytes, std::string_view path);

}  // namespace lmdeploy
