// The functions that every template sees: range, namespace, dict, raise_exception, ...
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace lmdeploy::jinja {

std::vector<std::pair<std::string, Value>> global_functions();

}  // namespace lmdeploy::jinja
