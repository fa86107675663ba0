// The tests of jinja2 (`x is defined`), by name.
#pragma once

#include <string_view>

#include "text/jinja/evaluator.h"

namespace lmdeploy::jinja {

using TestFunction = Result<bool> (*)(Evaluator&, const Value& input, Arguments& arguments);

// nullptr when there is none of that name.
TestFunction find_test(std::string_view name);

}  // namespace lmdeploy::jinja
