// Values as text: Python's str() and repr(), and JSON as `tojson` writes it.
#pragma once

#include "text/jinja/evaluator.h"
#include "text/jinja/functions.h"

namespace lmdeploy::jinja {

Result<std::string> python_str(Evaluator& evaluator, const Value& value);
Result<std::string> python_repr(Evaluator& evaluator, const Value& value);

// Options of transformers' `tojson`, which are those of json.dumps.
struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool indented = false;
  std::string indent;  // one level, when indented
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

Result<std::string> to_json(Evaluator& evaluator, const Value& value, const JsonStyle& style);

}  // namespace lmdeploy::jinja
