// Value: what a template expression evaluates to, with Python's types as far as templates see them.
// Cheap to copy (scalars inline, the rest shared). Lists, tuples and dicts are immutable, as the
// sandbox that chat templates run in forbids changing them; a namespace is the one mutable thing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace lmdeploy::jinja {

class Evaluator;
class Value;
struct Arguments;

struct Object {
  virtual ~Object() = default;
};

struct StringObject;
struct SequenceObject;
struct DictObject;
struct Opaque;

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kRange,
  kView,      // what dict.keys(), values() and items() give
  kIterator,  // what map, select and their like give: read once, always true, no length
  kDict,
  kOpaque,  // namespaces, functions, macros, loops
};

class Value {
 public:
  Value() = default;  // an undefined value without a name

  // `message` is what using it says: "'x' is undefined".
  static Value undefined(std::string message);
  static Value none();
  static Value boolean(bool flag);
  static Value integer(int64_t number);
  static Value real(double number);
  // `text` is UTF-8. `markup` marks text that is already escaped HTML.
  static Value string(std::string text, bool markup = false);
  static Value list(std::vector<Value> items);
  static Value tuple(std::vector<Value> items);
  static Value sequence(Kind kind, std::vector<Value> items, std::string label = {});
  static Value iterator(std::vector<Value> items);
  static Value dict(std::vector<std::pair<Value, Value>> entries);
  static Value opaque(std::shared_ptr<Opaque> object);
  // Order of keys is kept. The nesting is that of the parsed JSON, which is bounded.
  static Value from_json(const json::value& value);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_none() const { return kind_ == Kind::kNone; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_dict() const { return kind_ == Kind::kDict; }
  // int or bool, which Python counts as one.
  bool is_integral() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }
  bool is_number() const { return is_integral() || kind_ == Kind::kFloat; }
  // Has an item vector: list, tuple, range, view, iterator.
  bool is_sequence_object() const { return kind_ >= Kind::kList && kind_ <= Kind::kIterator; }

  bool as_bool() const { return scalar_.flag; }
  int64_t as_int() const { return kind_ == Kind::kBool ? int64_t{scalar_.flag} : scalar_.integer; }
  double as_double() const {
    return kind_ == Kind::kFloat ? scalar_.real : static_cast<double>(as_int());
  }
  const std::string& as_string() const;
  const StringObject& string_object() const;
  const SequenceObject& sequence_object() const;
  const std::vector<Value>& items() const;
  const DictObject& as_dict() const;
  Opaque* as_opaque() const;
  template <class T>
  T* as() const {
    return kind_ == Kind::kOpaque ? dynamic_cast<T*>(object_.get()) : nullptr;
  }

  // "'x' is undefined"
  std::string undefined_message() const;
  // Python's name of the type: "str", "list", "builtin_function_or_method".
  std::string type_name() const;
  // Python's bool(): false for undefined, None, 0 and empty containers.
  bool truthy() const;
  // Levels of containers inside; 0 for a scalar. Bounded by the evaluator, so that walking and
  // destroying a value never exhausts the stack.
  int nesting() const;
  // Values inside, shared ones counted each time they occur, plus 1 for each 64 bytes of strings:
  // what printing or comparing costs. The evaluator bounds it.
  int64_t weight() const;
  // Bytes of the object itself and of strings that nothing else holds, when this is the only holder.
  size_t fresh_bytes() const;
  // Same object (or equal scalars of one type): Python's `is`.
  bool same_as(const Value& other) const;

 private:
  Kind kind_ = Kind::kUndefined;
  union {
    bool flag;
    int64_t integer;
    double real;
  } scalar_{.integer = 0};
  std::shared_ptr<Object> object_;
};

struct StringObject : Object {
  StringObject(std::string text, bool markup);
  std::string text;
  int64_t length = 0;  // in code points
  bool markup = false;
  bool ascii() const { return static_cast<size_t>(length) == text.size(); }
};

// What a value that is a short string takes, with the headers of its allocations.
inline constexpr size_t kSmallStringBytes = sizeof(Value) + sizeof(StringObject) + 32;
// And a tuple of two values that are there already.
inline constexpr size_t kPairBytes = 6 * sizeof(Value) + 128;

struct SequenceObject : Object {
  std::vector<Value> items;
  std::string label;   // "range(0, 3)", "dict_items"
  mutable size_t cursor = 0;  // of an iterator: items already read
  int nesting = 1;
  int64_t weight = 1;
};

struct DictObject : Object {
  std::vector<std::pair<Value, Value>> entries;  // in order of insertion, keys unique
  int nesting = 1;
  int64_t weight = 1;
  const Value* find(std::string_view key) const;
  const Value* find(const Value& key) const;

 private:
  friend class Value;
  void build_index();
  std::unordered_map<std::string_view, uint32_t> index_;  // of string keys, when there are many
};

// Positional and named arguments of a call.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// An object with behaviour. attribute() gives nullopt for a name that it lacks.
struct Opaque : Object {
  virtual std::string type_name() const = 0;
  // As Value::nesting(), for an object that holds values for good.
  virtual int nesting() const { return 0; }
  virtual std::string repr() const { return "<" + type_name() + ">"; }
  virtual Result<std::optional<Value>> attribute(Evaluator&, std::string_view) {
    return std::optional<Value>();
  }
  virtual bool callable() const { return false; }
  virtual Result<Value> call(Evaluator&, Arguments&) {
    return invalid_argument("'{}' object is not callable", type_name());
  }
};

// The mutable `namespace(...)` of a template. The evaluator owns every one and empties them at the
// end, so that one that holds itself is freed.
struct NamespaceObject : Opaque {
  std::vector<std::pair<std::string, Value>> attributes;
  std::string type_name() const override { return "Namespace"; }
  Result<std::optional<Value>> attribute(Evaluator&, std::string_view name) override;
  void set(std::string_view name, Value value);
};

}  // namespace lmdeploy::jinja
