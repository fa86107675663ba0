// Callable values, and binding of call arguments to named parameters as Python binds them.
#pragma once

#include <functional>
#include <initializer_list>
#include <string>

#include "text/jinja/value.h"

namespace lmdeploy::jinja {

using Function = std::function<Result<Value>(Evaluator&, Arguments&)>;

// `held` is the nesting of the values that the function keeps (Value::nesting).
Value make_function(std::string name, Function function, int held = 0);

// The values of a built-in's parameters after binding; absent ones keep their default.
class Parameters {
 public:
  // `function` names it in errors. The first `required` of `names` must be given.
  static Result<Parameters> bind(std::string_view function, const Arguments& arguments,
                                 std::initializer_list<std::string_view> names, size_t required = 0);

  bool has(size_t i) const { return given_[i]; }
  // The value, or undefined when it was not given.
  const Value& operator[](size_t i) const { return values_[i]; }
  // Given and true.
  bool truthy(size_t i) const { return given_[i] && values_[i].truthy(); }
  Result<int64_t> integer(size_t i, int64_t fallback) const;
  Result<std::string> string(size_t i, std::string_view fallback) const;

 private:
  std::string function_;
  std::vector<std::string_view> names_;
  std::vector<Value> values_;
  std::vector<bool> given_;
};

}  // namespace lmdeploy::jinja
