#include "text/jinja/functions.h"

#include <algorithm>

namespace lmdeploy::jinja {

namespace {

struct FunctionObject : Opaque {
  FunctionObject(std::string function_name, Function f, int nested)
      : name(std::move(function_name)), function(std::move(f)), held(nested) {}
  int nesting() const override { return held + 1; }
  std::string type_name() const override { return "function"; }
  std::string repr() const override { return "<function " + name + ">"; }
  bool callable() const override { return true; }
  Result<Value> call(Evaluator& evaluator, Arguments& arguments) override {
    return function(evaluator, arguments);
  }
  std::string name;
  Function function;
  int held;
};

}  // namespace

Value make_function(std::string name, Function function, int held) {
  return Value::opaque(
      std::make_shared<FunctionObject>(std::move(name), std::move(function), held));
}

Result<Parameters> Parameters::bind(std::string_view function, const Arguments& arguments,
                                    std::initializer_list<std::string_view> names,
                                    size_t required) {
  Parameters bound;
  bound.function_ = function;
  bound.names_ = names;
  bound.values_.resize(names.size());
  bound.given_.resize(names.size());
  if (arguments.positional.size() > names.size()) {
    return invalid_argument("{}() takes at most {} arguments, got {}", function, names.size(),
                            arguments.positional.size());
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    bound.values_[i] = arguments.positional[i];
    bound.given_[i] = true;
  }
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(bound.names_.begin(), bound.names_.end(), name);
    const auto i = static_cast<size_t>(found - bound.names_.begin());
    if (found == bound.names_.end() || name.empty()) {
      return invalid_argument("{}() has no argument named '{}'", function, name);
    }
    if (bound.given_[i]) return invalid_argument("{}() got '{}' twice", function, name);
    bound.values_[i] = value;
    bound.given_[i] = true;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!bound.given_[i]) return invalid_argument("{}() needs '{}'", function, bound.names_[i]);
  }
  return bound;
}

Result<int64_t> Parameters::integer(size_t i, int64_t fallback) const {
  if (!given_[i]) return fallback;
  if (values_[i].is_integral()) return values_[i].as_int();
  return invalid_argument("{}(): '{}' must be an integer, not '{}'", function_, names_[i],
                          values_[i].type_name());
}

Result<std::string> Parameters::string(size_t i, std::string_view fallback) const {
  if (!given_[i]) return std::string(fallback);
  if (values_[i].is_string()) return values_[i].as_string();
  return invalid_argument("{}(): '{}' must be a string, not '{}'", function_, names_[i],
                          values_[i].type_name());
}

}  // namespace lmdeploy::jinja
