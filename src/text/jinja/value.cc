#include "text/jinja/value.h"

#include <algorithm>

#include "text/jinja/compare.h"
#include "text/jinja/python_text.h"

namespace lmdeploy::jinja {

namespace {

constexpr size_t kIndexFrom = 9;  // entries; below, a linear search is as fast

template <class T>
const T& object_of(const std::shared_ptr<Object>& object) {
  return static_cast<const T&>(*object);
}

struct UndefinedObject : Object {
  explicit UndefinedObject(std::string text) : message(std::move(text)) {}
  std::string message;
};

}  // namespace

StringObject::StringObject(std::string value, bool is_markup)
    : text(std::move(value)), length(code_point_count(text)), markup(is_markup) {}

const Value* DictObject::find(std::string_view key) const {
  if (!index_.empty()) {
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : &entries[found->second].second;
  }
  for (const auto& [name, value] : entries) {
    if (name.is_string() && name.as_string() == key) return &value;
  }
  return nullptr;
}

const Value* DictObject::find(const Value& key) const {
  if (key.is_string()) return find(std::string_view(key.as_string()));
  for (const auto& [name, value] : entries) {
    if (!name.is_string() && equal(name, key)) return &value;
  }
  return nullptr;
}

void DictObject::build_index() {
  if (entries.size() < kIndexFrom) return;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].first.is_string()) {
      index_.emplace(entries[i].first.as_string(), static_cast<uint32_t>(i));
    }
  }
}

Value Value::undefined(std::string message) {
  Value value;
  value.object_ = std::make_shared<UndefinedObject>(std::move(message));
  return value;
}

Value Value::none() {
  Value value;
  value.kind_ = Kind::kNone;
  return value;
}

Value Value::boolean(bool flag) {
  Value value;
  value.kind_ = Kind::kBool;
  value.scalar_.flag = flag;
  return value;
}

Value Value::integer(int64_t number) {
  Value value;
  value.kind_ = Kind::kInt;
  value.scalar_.integer = number;
  return value;
}

Value Value::real(double number) {
  Value value;
  value.kind_ = Kind::kFloat;
  value.scalar_.real = number;
  return value;
}

Value Value::string(std::string text, bool markup) {
  Value value;
  value.kind_ = Kind::kString;
  value.object_ = std::make_shared<StringObject>(std::move(text), markup);
  return value;
}

Value Value::sequence(Kind kind, std::vector<Value> items, std::string label) {
  auto object = std::make_shared<SequenceObject>();
  object->items = std::move(items);
  object->label = std::move(label);
  for (const Value& item : object->items) {
    object->nesting = std::max(object->nesting, item.nesting() + 1);
    object->weight += item.weight();
  }
  Value value;
  value.kind_ = kind;
  value.object_ = std::move(object);
  return value;
}

Value Value::list(std::vector<Value> items) { return sequence(Kind::kList, std::move(items)); }
Value Value::tuple(std::vector<Value> items) { return sequence(Kind::kTuple, std::move(items)); }
Value Value::iterator(std::vector<Value> items) {
  return sequence(Kind::kIterator, std::move(items), "generator");
}

Value Value::dict(std::vector<std::pair<Value, Value>> entries) {
  auto object = std::make_shared<DictObject>();
  object->entries = std::move(entries);
  int64_t unindexed = 0;  // keys that a lookup goes through one by one
  for (const auto& [key, item] : object->entries) {
    object->nesting = std::max({object->nesting, key.nesting() + 1, item.nesting() + 1});
    object->weight += key.weight() + item.weight();
    unindexed += key.is_string() ? 0 : 1;
  }
  object->weight += unindexed * unindexed / 16;
  object->build_index();
  Value value;
  value.kind_ = Kind::kDict;
  value.object_ = std::move(object);
  return value;
}

Value Value::opaque(std::shared_ptr<Opaque> object) {
  Value value;
  value.kind_ = Kind::kOpaque;
  value.object_ = std::move(object);
  return value;
}

Value Value::from_json(const json::value& source) {
  switch (source.kind()) {
    case json::kind::null: return none();
    case json::kind::bool_: return boolean(source.get_bool());
    case json::kind::int64: return integer(source.get_int64());
    case json::kind::uint64: return real(static_cast<double>(source.get_uint64()));
    case json::kind::double_: return real(source.get_double());
    case json::kind::string: return string(std::string(source.get_string()));
    case json::kind::array: {
      std::vector<Value> items;
      items.reserve(source.get_array().size());
      for (const json::value& item : source.get_array()) items.push_back(from_json(item));
      return list(std::move(items));
    }
    case json::kind::object: break;
  }
  std::vector<std::pair<Value, Value>> entries;
  entries.reserve(source.get_object().size());
  for (const auto& member : source.get_object()) {
    entries.emplace_back(string(std::string(member.key())), from_json(member.value()));
  }
  return dict(std::move(entries));
}

const std::string& Value::as_string() const { return object_of<StringObject>(object_).text; }
const StringObject& Value::string_object() const { return object_of<StringObject>(object_); }
const SequenceObject& Value::sequence_object() const { return object_of<SequenceObject>(object_); }
const std::vector<Value>& Value::items() const { return sequence_object().items; }
const DictObject& Value::as_dict() const { return object_of<DictObject>(object_); }
Opaque* Value::as_opaque() const { return static_cast<Opaque*>(object_.get()); }

std::string Value::undefined_message() const {
  if (object_ == nullptr) return "a value is undefined";
  return object_of<UndefinedObject>(object_).message;
}

std::string Value::type_name() const {
  switch (kind_) {
    case Kind::kUndefined: return "Undefined";
    case Kind::kNone: return "NoneType";
    case Kind::kBool: return "bool";
    case Kind::kInt: return "int";
    case Kind::kFloat: return "float";
    case Kind::kString: return string_object().markup ? "Markup" : "str";
    case Kind::kList: return "list";
    case Kind::kTuple: return "tuple";
    case Kind::kRange: return "range";
    case Kind::kView:
    case Kind::kIterator: return sequence_object().label;
    case Kind::kDict: return "dict";
    case Kind::kOpaque: return as_opaque()->type_name();
  }
  return {};
}

bool Value::truthy() const {
  switch (kind_) {
    case Kind::kUndefined:
    case Kind::kNone: return false;
    case Kind::kBool: return scalar_.flag;
    case Kind::kInt: return scalar_.integer != 0;
    case Kind::kFloat: return scalar_.real != 0;
    case Kind::kString: return !as_string().empty();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
    case Kind::kView: return !items().empty();
    case Kind::kDict: return !as_dict().entries.empty();
    case Kind::kIterator:
    case Kind::kOpaque: return true;
  }
  return false;
}

int Value::nesting() const {
  if (is_sequence_object()) return sequence_object().nesting;
  if (is_dict()) return as_dict().nesting;
  return is(Kind::kOpaque) ? as_opaque()->nesting() : 0;
}

int64_t Value::weight() const {
  if (is_string()) return 1 + static_cast<int64_t>(as_string().size() / 64);
  if (is_sequence_object()) return sequence_object().weight;
  return is_dict() ? as_dict().weight : 1;
}

size_t Value::fresh_bytes() const {
  if (object_ == nullptr || object_.use_count() > 1) return 0;
  if (is_string()) return sizeof(StringObject) + as_string().size();
  if (is_dict()) return sizeof(DictObject) + as_dict().entries.size() * 3 * sizeof(Value);
  if (!is_sequence_object()) return sizeof(SequenceObject);
  size_t bytes = sizeof(SequenceObject) + items().size() * sizeof(Value);
  for (const Value& item : items()) bytes += item.fresh_bytes();
  return bytes;
}

bool Value::same_as(const Value& other) const {
  if (kind_ != other.kind_) return false;
  switch (kind_) {
    case Kind::kNone: return true;
    case Kind::kBool: return scalar_.flag == other.scalar_.flag;
    case Kind::kInt: return scalar_.integer == other.scalar_.integer;
    case Kind::kFloat: return scalar_.real == other.scalar_.real;
    case Kind::kString: return object_ == other.object_ || as_string() == other.as_string();
    default: return object_ == other.object_;
  }
}

Result<std::optional<Value>> NamespaceObject::attribute(Evaluator&, std::string_view name) {
  for (const auto& [key, value] : attributes) {
    if (key == name) return std::optional<Value>(value);
  }
  return std::optional<Value>();
}

void NamespaceObject::set(std::string_view name, Value value) {
  for (auto& [key, held] : attributes) {
    if (key == name) {
      held = std::move(value);
      return;
    }
  }
  attributes.emplace_back(std::string(name), std::move(value));
}

}  // namespace lmdeploy::jinja
