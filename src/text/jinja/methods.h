// Methods of Python's str, list, tuple, dict, int and float that a sandboxed template may call.
#pragma once

#include <optional>
#include <string_view>

#include "text/jinja/evaluator.h"

namespace lmdeploy::jinja {

using Method = Result<Value> (*)(Evaluator&, const Value& self, Arguments& arguments);

// nullopt: the type has no such method. nullptr: it has, but calling it would change the object.
std::optional<Method> find_method(Kind kind, std::string_view name);

// The parts of the table.
std::optional<Method> find_string_method(std::string_view name);
std::optional<Method> find_container_method(Kind kind, std::string_view name);

// Methods that take a string apart or put it together (string_split.cc), for string_methods.cc.
std::optional<Method> find_split_method(std::string_view name);

}  // namespace lmdeploy::jinja
