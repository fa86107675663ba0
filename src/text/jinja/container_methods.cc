#include <algorithm>
#include <array>
#include <cmath>

#include "text/jinja/compare.h"
#include "text/jinja/functions.h"
#include "text/jinja/methods.h"

namespace lmdeploy::jinja {

namespace {

Result<Value> dict_view(Evaluator& evaluator, const Value& self, Arguments& arguments,
                        std::string_view name) {
  RETURN_IF_ERROR(Parameters::bind(name, arguments, {}).status());
  const auto& entries = self.as_dict().entries;
  RETURN_IF_ERROR(
      evaluator.reserve(entries.size() * (name == "items" ? kPairBytes : sizeof(Value))));
  std::vector<Value> items;
  items.reserve(entries.size());
  for (const auto& [key, value] : entries) {
    items.push_back(name == "items" ? Value::tuple({key, value}) : name == "keys" ? key : value);
  }
  return Value::sequence(Kind::kView, std::move(items), fmt::format("dict_{}", name));
}

Result<Value> dict_items(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  return dict_view(evaluator, self, arguments, "items");
}
Result<Value> dict_keys(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  return dict_view(evaluator, self, arguments, "keys");
}
Result<Value> dict_values(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  return dict_view(evaluator, self, arguments, "values");
}

Result<Value> dict_get(Evaluator&, const Value& self, Arguments& arguments) {
  if (!arguments.named.empty()) return invalid_argument("get() takes no named arguments");
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("get", arguments, {"key", "default"}, 1));
  if (parameters[0].is(Kind::kList) || parameters[0].is_dict()) {
    return invalid_argument("'{}' cannot be a key of a dict", parameters[0].type_name());
  }
  const Value* found = self.as_dict().find(parameters[0]);
  if (found != nullptr) return *found;
  return parameters.has(1) ? parameters[1] : Value::none();
}

Result<Value> dict_copy(Evaluator&, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(Parameters::bind("copy", arguments, {}).status());
  return self;
}

Result<Value> list_index(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("index", arguments, {"value", "start", "stop"}, 1));
  const auto size = static_cast<int64_t>(self.items().size());
  ASSIGN_OR_RETURN(int64_t start, parameters.integer(1, 0));
  ASSIGN_OR_RETURN(int64_t stop, parameters.integer(2, size));
  const auto clamp = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + size : i, 0, size); };
  RETURN_IF_ERROR(evaluator.step(self.weight() / 4));
  for (int64_t i = clamp(start); i < clamp(stop); ++i) {
    if (equal(self.items()[static_cast<size_t>(i)], parameters[0])) return Value::integer(i);
  }
  return invalid_argument("the value that index() looks for is not in the {}", self.type_name());
}

Result<Value> list_count(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("count", arguments, {"value"}, 1));
  RETURN_IF_ERROR(evaluator.step(self.weight() / 4));
  return Value::integer(std::count_if(self.items().begin(), self.items().end(), [&](const Value& v) {
    return equal(v, parameters[0]);
  }));
}

Result<Value> is_integer(Evaluator&, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(Parameters::bind("is_integer", arguments, {}).status());
  const double number = self.as_double();
  return Value::boolean(std::isfinite(number) && std::floor(number) == number);
}

Result<Value> bit_length(Evaluator&, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(Parameters::bind("bit_length", arguments, {}).status());
  uint64_t bits = static_cast<uint64_t>(self.as_int());
  if (self.as_int() < 0) bits = 0 - bits;
  return Value::integer(bits == 0 ? 0 : 64 - __builtin_clzll(bits));
}

constexpr std::array<std::string_view, 5> kDictChanging = {"clear", "pop", "popitem", "setdefault",
                                                           "update"};
constexpr std::array<std::string_view, 8> kListChanging = {"append", "clear",  "extend", "insert",
                                                           "pop",    "remove", "reverse", "sort"};

template <size_t kCount>
bool among(const std::array<std::string_view, kCount>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::optional<Method> find_dict_method(std::string_view name) {
  if (name == "items") return dict_items;
  if (name == "keys") return dict_keys;
  if (name == "values") return dict_values;
  if (name == "get") return dict_get;
  if (name == "copy") return dict_copy;
  if (among(kDictChanging, name)) return std::optional<Method>(nullptr);
  return std::nullopt;
}

}  // namespace

std::optional<Method> find_container_method(Kind kind, std::string_view name) {
  if (kind == Kind::kDict) return find_dict_method(name);
  if (kind == Kind::kList || kind == Kind::kTuple || kind == Kind::kRange) {
    if (name == "index") return list_index;
    if (name == "count") return list_count;
  }
  if (kind == Kind::kList) {
    if (name == "copy") return dict_copy;
    if (among(kListChanging, name)) return std::optional<Method>(nullptr);
  }
  return std::nullopt;
}

std::optional<Method> find_method(Kind kind, std::string_view name) {
  if (kind == Kind::kString) return find_string_method(name);
  if (kind == Kind::kFloat && name == "is_integer") return is_integer;
  if ((kind == Kind::kInt || kind == Kind::kBool) && name == "bit_length") return bit_length;
  return find_container_method(kind, name);
}

}  // namespace lmdeploy::jinja
