#include "checkpoint/torch_pickle.h"

#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <map>
#include <set>

#include "base/utf8.h"

namespace lmdeploy {

namespace {

constexpr size_t kMaxPickleBytes = size_t{64} << 20;
constexpr size_t kMaxValues = size_t{1} << 23;
constexpr size_t kMaxDimensions = 8;  // of any weight; what repeats a tensor keeps them for each name
constexpr size_t kMaxNameBytes = 1024;
constexpr uint32_t kMark = std::numeric_limits<uint32_t>::max();  // on the stack only

enum class Kind : uint8_t {
  kNone,
  kBool,
  kInt,
  kFloat,
  kText,
  kTuple,
  kList,
  kDict,
  kGlobal,
  kStorage,
  kTensor
};

constexpr std::array<const char*, 11> kKindNames = {
    "None",   "a bool", "an integer", "a float",   "a string", "a tuple",
    "a list", "a dict", "a global",   "a storage", "a tensor"};

// What a global does; storages stand for their element type.
enum class Role : uint8_t { kOrderedDict, kRebuildTensor, kRebuildParameter, kStorage };

struct KnownGlobal {
  std::string_view module, name;
  Role role;
  DType dtype = DType::kU8;
};

constexpr std::array<KnownGlobal, 13> kGlobals = {{
    {"collections", "OrderedDict", Role::kOrderedDict},
    {"torch._utils", "_rebuild_tensor_v2", Role::kRebuildTensor},
    {"torch._utils", "_rebuild_parameter", Role::kRebuildParameter},
    {"torch", "FloatStorage", Role::kStorage, DType::kF32},
    {"torch", "HalfStorage", Role::kStorage, DType::kF16},
    {"torch", "BFloat16Storage", Role::kStorage, DType::kBF16},
    {"torch", "DoubleStorage", Role::kStorage, DType::kF64},
    {"torch", "LongStorage", Role::kStorage, DType::kI64},
    {"torch", "IntStorage", Role::kStorage, DType::kI32},
    {"torch", "ShortStorage", Role::kStorage, DType::kI16},
    {"torch", "CharStorage", Role::kStorage, DType::kI8},
    {"torch", "ByteStorage", Role::kStorage, DType::kU8},
    {"torch", "BoolStorage", Role::kStorage, DType::kBool},
}};

// A value refers to others by index, so values that hold each other, however deep, cost nothing to
// make or to drop.
struct Value {
  Kind kind = Kind::kNone;
  // Of a bool or an integer; the index of a global; elements of a storage; offset of a tensor.
  int64_t number = 0;
  std::string_view text;     // of a string; key of a storage
  DType dtype = DType::kU8;  // of a storage
  // Of a tuple or list; keys and values of a dict; storage, shape and strides of a tensor.
  std::vector<uint32_t> items;
};

// Protocol 2, the part that the pickler uses for a state dict.
enum Opcode : uint8_t {
  kOpMark = '(',
  kOpStop = '.',
  kOpInt1 = 'K',
  kOpInt2 = 'M',
  kOpInt4 = 'J',
  kOpLong1 = 0x8a,
  kOpFloat = 'G',
  kOpNone = 'N',
  kOpTrue = 0x88,
  kOpFalse = 0x89,
  kOpText = 'X',
  kOpEmptyTuple = ')',
  kOpTuple = 't',
  kOpTuple1 = 0x85,
  kOpTuple2 = 0x86,
  kOpTuple3 = 0x87,
  kOpEmptyList = ']',
  kOpAppend = 'a',
  kOpAppends = 'e',
  kOpEmptyDict = '}',
  kOpSetItem = 's',
  kOpSetItems = 'u',
  kOpPut = 'q',
  kOpLongPut = 'r',
  kOpGet = 'h',
  kOpLongGet = 'j',
  kOpGlobal = 'c',
  kOpReduce = 'R',
  kOpBuild = 'b',
  kOpPersistentId = 'Q',
  kOpProtocol = 0x80,
};

std::string shown(std::string_view text) {
  return utf8_replace_invalid(text.substr(0, utf8_prefix(text, 100)));
}

class Machine {
 public:
  Machine(std::span<const std::byte> pickle, std::string_view path)
      : bytes_(reinterpret_cast<const char*>(pickle.data()), pickle.size()), path_(path) {}

  Result<std::vector<PickledTensor>> run() {
    while (!stopped_) {
      start_ = pos_;
      ASSIGN_OR_RETURN(const uint8_t opcode, number<uint8_t>());
      RETURN_IF_ERROR(step(opcode));
      if (values_.size() > kMaxValues || stack_.size() > kMaxValues) {
        return data_loss("{}: its pickle makes more than {} values; that is no state dict", path_,
                         kMaxValues);
      }
    }
    ASSIGN_OR_RETURN(const uint32_t top, pop());
    return tensors_of(top);
  }

 private:
  Status damaged(std::string_view what) const {
    return data_loss("{}: its pickle is damaged at byte {}: {}", path_, start_, what);
  }
  const Value& value(uint32_t index) const { return values_[index]; }

  template <class T>
  Result<T> number() {
    if (bytes_.size() - pos_ < sizeof(T)) return damaged("it ends in the middle");
    T out;
    std::memcpy(&out, bytes_.data() + pos_, sizeof(T));
    pos_ += sizeof(T);
    return out;
  }
  Result<std::string_view> take(size_t size) {
    if (bytes_.size() - pos_ < size)
      return damaged(fmt::format("{} bytes are needed, {} are left", size, bytes_.size() - pos_));
    pos_ += size;
    return bytes_.substr(pos_ - size, size);
  }
  Result<std::string_view> line() {
    const size_t end = bytes_.find('\n', pos_);
    if (end == std::string_view::npos) return damaged("a line has no end");
    const std::string_view text = bytes_.substr(pos_, end - pos_);
    pos_ = end + 1;
    return text;
  }

  void push(Value value) {
    stack_.push_back(static_cast<uint32_t>(values_.size()));
    values_.push_back(std::move(value));
  }
  Status push_number(Kind kind, int64_t number) {
    push({.kind = kind, .number = number});
    return {};
  }
  Result<uint32_t> pop() {
    if (stack_.empty() || stack_.back() == kMark) return damaged("a value is missing");
    const uint32_t index = stack_.back();
    stack_.pop_back();
    return index;
  }
  // The last `count` values.
  Result<std::vector<uint32_t>> pop_some(size_t count) {
    std::vector<uint32_t> items(count);
    for (size_t i = count; i-- > 0;) {
      ASSIGN_OR_RETURN(items[i], pop());
    }
    return items;
  }
  Result<std::vector<uint32_t>> pop_to_mark() {
    size_t begin = stack_.size();
    while (begin > 0 && stack_[begin - 1] != kMark) --begin;
    if (begin == 0) return damaged("a mark is missing");
    std::vector<uint32_t> items(stack_.begin() + static_cast<std::ptrdiff_t>(begin), stack_.end());
    stack_.resize(begin - 1);
    return items;
  }
  // The value on top, which must be of this kind and stays there.
  Result<Value*> top_of(Kind kind) {
    if (stack_.empty() || stack_.back() == kMark || value(stack_.back()).kind != kind) {
      return damaged(fmt::format("{} is missing", kKindNames[static_cast<size_t>(kind)]));
    }
    return &values_[stack_.back()];
  }

  Status step(uint8_t opcode) {
    switch (opcode) {
      case kOpProtocol: return check_protocol();
      case kOpStop: stopped_ = true; return {};
      case kOpMark: stack_.push_back(kMark); return {};
      case kOpGlobal: return push_global();
      case kOpReduce: return reduce();
      case kOpBuild: return build();
      case kOpPersistentId: return push_storage();
      case kOpAppend:
      case kOpAppends:
      case kOpSetItem:
      case kOpSetItems: return add_items(opcode);
      case kOpPut:
      case kOpLongPut:
      case kOpGet:
      case kOpLongGet: return memo(opcode);
      case kOpEmptyTuple:
      case kOpTuple:
      case kOpTuple1:
      case kOpTuple2:
      case kOpTuple3: return push_tuple(opcode);
      case kOpEmptyList: push({.kind = Kind::kList}); return {};
      case kOpEmptyDict: push({.kind = Kind::kDict}); return {};
      default: return push_scalar(opcode);
    }
  }

  Status check_protocol() {
    ASSIGN_OR_RETURN(const uint8_t protocol, number<uint8_t>());
    if (protocol == 2) return {};
    return unsupported(
        "{}: its pickle has protocol {}; torch.save writes 2 unless told otherwise, which is "
        "what is read. Save the model as safetensors",
        path_, protocol);
  }

  Status push_scalar(uint8_t opcode) {
    switch (opcode) {
      case kOpNone: push({}); return {};
      case kOpTrue: return push_number(Kind::kBool, 1);
      case kOpFalse: return push_number(Kind::kBool, 0);
      case kOpInt1: return push_integer<uint8_t>();
      case kOpInt2: return push_integer<uint16_t>();
      case kOpInt4: return push_integer<int32_t>();
      case kOpLong1: return push_long();
      case kOpFloat: {
        ASSIGN_OR_RETURN(const std::string_view ignored, take(sizeof(double)));
        return push_number(Kind::kFloat, static_cast<int64_t>(ignored.size()));
      }
      case kOpText: {
        ASSIGN_OR_RETURN(const auto size, number<uint32_t>());
        ASSIGN_OR_RETURN(const std::string_view text, take(size));
        push({.kind = Kind::kText, .text = text});
        return {};
      }
      default:
        return unsupported(
            "{}: its pickle has the opcode {:#04x} at byte {}, which torch.save does not write "
            "for a state dict; the file is not read",
            path_, opcode, start_);
    }
  }
  template <class T>
  Status push_integer() {
    ASSIGN_OR_RETURN(const T integer, number<T>());
    return push_number(Kind::kInt, integer);
  }
  // Little-endian two's complement of 0 to 8 bytes.
  Status push_long() {
    ASSIGN_OR_RETURN(const uint8_t size, number<uint8_t>());
    if (size > sizeof(int64_t)) return damaged(fmt::format("an integer has {} bytes", size));
    ASSIGN_OR_RETURN(const std::string_view digits, take(size));
    const bool negative = size > 0 && (static_cast<uint8_t>(digits.back()) & 0x80) != 0;
    int64_t integer = negative ? -1 : 0;
    std::memcpy(&integer, digits.data(), size);
    return push_number(Kind::kInt, integer);
  }

  Status push_tuple(uint8_t opcode) {
    Value tuple{.kind = Kind::kTuple};
    if (opcode == kOpTuple) {
      ASSIGN_OR_RETURN(tuple.items, pop_to_mark());
    } else if (opcode != kOpEmptyTuple) {
      ASSIGN_OR_RETURN(tuple.items, pop_some(size_t{opcode} - kOpTuple1 + 1));
    }
    push(std::move(tuple));
    return {};
  }

  Status add_items(uint8_t opcode) {
    std::vector<uint32_t> items;
    if (opcode == kOpAppends || opcode == kOpSetItems) {
      ASSIGN_OR_RETURN(items, pop_to_mark());
    } else {
      ASSIGN_OR_RETURN(items, pop_some(opcode == kOpAppend ? 1 : 2));
    }
    const bool is_list = opcode == kOpAppend || opcode == kOpAppends;
    ASSIGN_OR_RETURN(Value* const target, top_of(is_list ? Kind::kList : Kind::kDict));
    if (!is_list && items.size() % 2 != 0) return damaged("a key has no value");
    target->items.insert(target->items.end(), items.begin(), items.end());
    return {};
  }

  Status memo(uint8_t opcode) {
    uint32_t place;
    if (opcode == kOpPut || opcode == kOpGet) {
      ASSIGN_OR_RETURN(place, number<uint8_t>());
    } else {
      ASSIGN_OR_RETURN(place, number<uint32_t>());
    }
    if (opcode == kOpPut || opcode == kOpLongPut) {
      ASSIGN_OR_RETURN(const uint32_t top, pop());
      stack_.push_back(top);
      memo_[place] = top;
      return {};
    }
    const auto found = memo_.find(place);
    if (found == memo_.end()) return damaged(fmt::format("nothing was kept under {}", place));
    stack_.push_back(found->second);
    return {};
  }

  Status push_global() {
    ASSIGN_OR_RETURN(const std::string_view module, line());
    ASSIGN_OR_RETURN(const std::string_view name, line());
    for (size_t i = 0; i < kGlobals.size(); ++i) {
      if (kGlobals[i].module != module || kGlobals[i].name != name) continue;
      return push_number(Kind::kGlobal, static_cast<int64_t>(i));
    }
    return unsupported(
        "{}: its pickle asks for '{}.{}', which no state dict of tensors needs; a file that "
        "names other code may be an attack. Nothing was called; take the model as safetensors",
        path_, shown(module), shown(name));
  }

  // ('storage', torch.XStorage, key, device, elements)
  Status push_storage() {
    ASSIGN_OR_RETURN(const uint32_t index, pop());
    const std::vector<uint32_t>& parts = value(index).items;
    if (value(index).kind != Kind::kTuple || parts.size() != 5 ||
        value(parts[0]).text != "storage" || value(parts[1]).kind != Kind::kGlobal ||
        value(parts[2]).kind != Kind::kText || value(parts[2]).text.size() > kMaxNameBytes ||
        !utf8_valid(value(parts[2]).text) ||
        value(parts[4]).kind != Kind::kInt) {
      return damaged("a persistent id is not ('storage', type, key, device, elements)");
    }
    const KnownGlobal& global = kGlobals[static_cast<size_t>(value(parts[1]).number)];
    if (global.role != Role::kStorage) return damaged("a storage's type is no storage");
    push({.kind = Kind::kStorage,
          .number = value(parts[4]).number,
          .text = value(parts[2]).text,
          .dtype = global.dtype});
    return {};
  }

  Status reduce() {
    ASSIGN_OR_RETURN(const uint32_t arguments, pop());
    ASSIGN_OR_RETURN(const uint32_t function, pop());
    if (value(function).kind != Kind::kGlobal || value(arguments).kind != Kind::kTuple) {
      return damaged(
          fmt::format("{} is called", kKindNames[static_cast<size_t>(value(function).kind)]));
    }
    const std::vector<uint32_t> items = value(arguments).items;
    switch (kGlobals[static_cast<size_t>(value(function).number)].role) {
      case Role::kOrderedDict:
        if (!items.empty()) return damaged("an OrderedDict is made from something");
        push({.kind = Kind::kDict});
        return {};
      case Role::kRebuildTensor: return rebuild_tensor(items);
      case Role::kRebuildParameter:
        if (items.size() != 3 || value(items[0]).kind != Kind::kTensor) {
          return damaged("a parameter is not made from a tensor");
        }
        stack_.push_back(items[0]);
        return {};
      case Role::kStorage: break;
    }
    return damaged("a storage's type is called");
  }

  // (storage, offset, shape, strides, requires_grad, hooks[, metadata])
  Status rebuild_tensor(const std::vector<uint32_t>& items) {
    if ((items.size() != 6 && items.size() != 7) || value(items[0]).kind != Kind::kStorage ||
        value(items[1]).kind != Kind::kInt || value(items[2]).kind != Kind::kTuple ||
        value(items[3]).kind != Kind::kTuple || value(items[2]).items.size() > kMaxDimensions ||
        value(items[2]).items.size() != value(items[3]).items.size()) {
      return damaged("a tensor is not made from (storage, offset, shape, strides, ...)");
    }
    for (const uint32_t tuple : {items[2], items[3]}) {
      for (const uint32_t item : value(tuple).items) {
        if (value(item).kind != Kind::kInt) return damaged("a shape is not made of integers");
      }
    }
    push({.kind = Kind::kTensor,
          .number = value(items[1]).number,
          .items = {items[0], items[2], items[3]}});
    return {};
  }

  // Attributes of an OrderedDict: `_metadata`, which names modules' versions.
  Status build() {
    ASSIGN_OR_RETURN(const uint32_t state, pop());
    if (value(state).kind != Kind::kDict || !top_of(Kind::kDict).ok()) {
      return unsupported(
          "{}: its pickle sets attributes of something that is no dict, at byte {}; no state "
          "dict does",
          path_, start_);
    }
    return {};
  }

  std::vector<int64_t> numbers_of(uint32_t tuple) const {
    std::vector<int64_t> out;
    for (const uint32_t item : value(tuple).items) out.push_back(value(item).number);
    return out;
  }

  Result<std::vector<PickledTensor>> tensors_of(uint32_t index) const {
    const Value& dict = value(index);
    if (dict.kind != Kind::kDict) {
      return unsupported("{} holds {} and no dict of tensors", path_,
                         kKindNames[static_cast<size_t>(dict.kind)]);
    }
    std::vector<PickledTensor> tensors;
    std::set<std::string_view> names;
    for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      const Value& key = value(dict.items[i]);
      const Value& tensor = value(dict.items[i + 1]);
      if (key.kind != Kind::kText || key.text.size() > kMaxNameBytes || !utf8_valid(key.text)) {
        return data_loss("{}: a tensor's name is no text of at most {} bytes", path_,
                         kMaxNameBytes);
      }
      if (!names.insert(key.text).second) {
        return data_loss("{}: the tensor '{}' is in the dict twice", path_, shown(key.text));
      }
      if (tensor.kind != Kind::kTensor) {
        return unsupported(
            "{}: '{}' is {} and no tensor; a state dict alone is read. Save the model as "
            "safetensors",
            path_, shown(key.text), kKindNames[static_cast<size_t>(tensor.kind)]);
      }
      const Value& storage = value(tensor.items[0]);
      tensors.push_back({key.text, storage.text, storage.dtype, storage.number, tensor.number,
                         numbers_of(tensor.items[1]), numbers_of(tensor.items[2])});
    }
    return tensors;
  }

  std::string_view bytes_, path_;
  size_t pos_ = 0, start_ = 0;
  bool stopped_ = false;
  std::vector<Value> values_;
  std::vector<uint32_t> stack_;  // indices of values_, and kMark
  std::map<uint32_t, uint32_t> memo_;  // no file can make its search slow
};

}  // namespace

Result<std::vector<PickledTensor>> read_state_dict(std::span<const std::byte> pickle,
                                                   std::string_view path) {
  if (pickle.size() > kMaxPickleBytes) {
    return data_loss("{}: its pickle has {} bytes; at most {} are accepted", path, pickle.size(),
                     kMaxPickleBytes);
  }
  return Machine(pickle, path).run();
}

}  // namespace lmdeploy
