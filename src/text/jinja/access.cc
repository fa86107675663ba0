// object.name and object[key], as jinja2's immutable sandbox resolves them.
#include <algorithm>

#include "text/jinja/evaluator.h"
#include "text/jinja/functions.h"
#include "text/jinja/methods.h"
#include "text/jinja/python_text.h"
#include "text/jinja/repr.h"

namespace lmdeploy::jinja {

namespace {

std::string object_name(const Value& object) {
  return object.is_none() ? "None" : object.type_name() + " object";
}

Value missing_attribute(const Value& object, std::string_view name) {
  return Value::undefined(fmt::format("'{}' has no attribute '{}'", object_name(object), name));
}

// The method of that name bound to `object`, if its type has one that changes nothing.
std::optional<Value> find_bound_method(const Value& object, std::string_view name) {
  const std::optional<Method> method = find_method(object.kind(), name);
  if (!method) return std::nullopt;
  if (*method == nullptr) {
    return Value::undefined(fmt::format("'{}' of '{}' would change it, which a template may not",
                                        name, object.type_name()));
  }
  return make_function(
      std::string(name),
      [object, function = *method](Evaluator& evaluator, Arguments& arguments) {
        return function(evaluator, object, arguments);
      },
      object.nesting());
}

std::optional<Value> item_at(const std::vector<Value>& items, int64_t index) {
  const auto size = static_cast<int64_t>(items.size());
  if (index < 0) index += size;
  if (index < 0 || index >= size) return std::nullopt;
  return items[static_cast<size_t>(index)];
}

std::optional<Value> character_at(const StringObject& text, int64_t index) {
  if (index < 0) index += text.length;
  if (index < 0 || index >= text.length) return std::nullopt;
  if (text.ascii()) return Value::string(std::string(1, text.text[static_cast<size_t>(index)]));
  const size_t begin = byte_offset(text.text, index);
  const size_t length = byte_offset(std::string_view(text.text).substr(begin), 1);
  return Value::string(text.text.substr(begin, length));
}

std::optional<Value> subscript(const Value& object, const Value& key) {
  if (object.is_dict()) {
    const Value* found = object.as_dict().find(key);
    return found == nullptr ? std::nullopt : std::optional<Value>(*found);
  }
  if (!key.is_integral()) return std::nullopt;
  if (object.is_string()) return character_at(object.string_object(), key.as_int());
  if (object.is(Kind::kList) || object.is(Kind::kTuple) || object.is(Kind::kRange)) {
    return item_at(object.items(), key.as_int());
  }
  return std::nullopt;
}

// What groupby's pairs are called.
std::optional<Value> named_part(const Value& object, std::string_view name) {
  if (!object.is(Kind::kTuple) || object.sequence_object().label != "group") return std::nullopt;
  if (name == "grouper") return object.items()[0];
  if (name == "list") return object.items()[1];
  return std::nullopt;
}

}  // namespace

Result<Value> Evaluator::get_attribute(const Value& object, std::string_view name) {
  if (object.is_undefined()) return invalid_argument("{}", object.undefined_message());
  if (object.is(Kind::kOpaque)) {
    ASSIGN_OR_RETURN(std::optional<Value> value, object.as_opaque()->attribute(*this, name));
    return value ? *std::move(value) : missing_attribute(object, name);
  }
  if (std::optional<Value> part = named_part(object, name)) return *std::move(part);
  if (std::optional<Value> method = find_bound_method(object, name)) return *std::move(method);
  if (object.is_dict()) {
    if (const Value* found = object.as_dict().find(name)) return *found;
  }
  return missing_attribute(object, name);
}

Result<Value> Evaluator::get_item(const Value& object, const Value& key) {
  if (object.is_undefined()) return invalid_argument("{}", object.undefined_message());
  if (object.is(Kind::kString) && !object.string_object().ascii()) {
    RETURN_IF_ERROR(step(object.weight() / 4));
  }
  if (std::optional<Value> item = subscript(object, key)) return *std::move(item);
  if (key.is_string()) {
    if (object.is_dict()) {
      std::optional<Value> method = find_bound_method(object, key.as_string());
      return method ? *std::move(method) : missing_attribute(object, key.as_string());
    }
    return get_attribute(object, key.as_string());
  }
  ASSIGN_OR_RETURN(const std::string shown, python_repr(*this, key));
  return Value::undefined(fmt::format("{} has no element {}", object_name(object),
                                      shown.substr(0, 200)));
}

}  // namespace lmdeploy::jinja
