#include "text/jinja/filters.h"

#include <algorithm>

#include "text/jinja/python_text.h"

namespace lmdeploy::jinja {

FilterFunction find_filter(std::string_view name) {
  for (const auto table : {text_filters(), sequence_filters(), select_filters(), number_filters()}) {
    for (const auto& [entry_name, function] : table) {
      if (entry_name == name) return function;
    }
  }
  return nullptr;
}

Result<Value> attribute_path(Evaluator& evaluator, const Value& object, const Value& attribute) {
  if (attribute.is_none() || attribute.is_undefined()) return object;
  if (!attribute.is_string()) return evaluator.get_item(object, attribute);
  Value item = object;
  std::string_view rest = attribute.as_string();
  while (true) {
    RETURN_IF_ERROR(evaluator.step());
    const size_t dot = std::min(rest.find('.'), rest.size());
    const std::string part(rest.substr(0, dot));
    const bool index = !part.empty() && part.size() < 18 &&
                       part.find_first_not_of("0123456789") == std::string::npos;
    const Value key = index ? Value::integer(*parse_integer(part, 10)) : Value::string(part);
    ASSIGN_OR_RETURN(item, evaluator.get_item(item, key));
    if (dot == rest.size()) return item;
    rest.remove_prefix(dot + 1);
  }
}

}  // namespace lmdeploy::jinja
