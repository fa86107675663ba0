// Filters on lists and dicts that take no test or filter: length, join, sort, batch, ...
#include <algorithm>

#include "base/utf8.h"
#include "text/jinja/compare.h"
#include "text/jinja/filters.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"
#include "text/jinja/sorting.h"
#include "text/jinja/string_ops.h"

namespace lmdeploy::jinja {

namespace {

Status no_arguments(std::string_view name, const Arguments& arguments) {
  return Parameters::bind(name, arguments, {}).status();
}

Result<Value> length(Evaluator&, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments("length", arguments));
  if (input.is_string()) return Value::integer(input.string_object().length);
  if (input.is_dict()) return Value::integer(static_cast<int64_t>(input.as_dict().entries.size()));
  if (input.is_undefined()) return Value::integer(0);
  if (input.is_sequence_object() && !input.is(Kind::kIterator)) {
    return Value::integer(static_cast<int64_t>(input.items().size()));
  }
  return invalid_argument("object of type '{}' has no length", input.type_name());
}

Result<Value> join(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("join", arguments, {"d", "attribute"}));
  const Value separator_value = parameters.has(0) ? parameters[0] : Value::string("");
  ASSIGN_OR_RETURN(const std::string separator, evaluator.to_string(separator_value));
  ASSIGN_OR_RETURN(std::vector<Value> items, evaluator.iterate(input));
  if (parameters.has(1) && !parameters[1].is_none()) {
    for (Value& item : items) {
      ASSIGN_OR_RETURN(item, attribute_path(evaluator, item, parameters[1]));
    }
  }
  return join_text(evaluator, separator, items);
}

Result<Value> first(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments("first", arguments));
  if (input.is(Kind::kIterator)) {
    const SequenceObject& iterator = input.sequence_object();
    if (iterator.cursor < iterator.items.size()) return iterator.items[iterator.cursor++];
    return Value::undefined("a sequence is empty and has no first item");
  }
  if (input.is_string() && !input.as_string().empty()) {
    return evaluator.get_item(input, Value::integer(0));
  }
  ASSIGN_OR_RETURN(const std::vector<Value> items, evaluator.iterate(input));
  if (items.empty()) return Value::undefined("a sequence is empty and has no first item");
  return items.front();
}

Result<Value> last(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments("last", arguments));
  if (input.is(Kind::kIterator)) return invalid_argument("'last' needs a list, not an iterator");
  if (input.is_string() && !input.as_string().empty()) {
    return evaluator.get_item(input, Value::integer(-1));
  }
  ASSIGN_OR_RETURN(const std::vector<Value> items, evaluator.iterate(input));
  if (items.empty()) return Value::undefined("a sequence is empty and has no last item");
  return items.back();
}

Result<Value> list(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments("list", arguments));
  ASSIGN_OR_RETURN(std::vector<Value> items, evaluator.iterate(input));
  return Value::list(std::move(items));
}

Result<Value> reverse(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments("reverse", arguments));
  if (input.is_string()) {
    RETURN_IF_ERROR(evaluator.scan(input.as_string().size()));
    RETURN_IF_ERROR(evaluator.check_memory(input.as_string().size() * (1 + sizeof(char32_t))));
    std::vector<char32_t> points = code_points(input.as_string());
    std::reverse(points.begin(), points.end());
    return Value::string(from_code_points(points));
  }
  if (input.is_undefined()) return Value::list({});
  ASSIGN_OR_RETURN(std::vector<Value> items, evaluator.iterate(input));
  std::reverse(items.begin(), items.end());
  if (input.is(Kind::kIterator)) return Value::list(std::move(items));
  return Value::sequence(Kind::kIterator, std::move(items), "list_reverseiterator");
}

Result<Value> items(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments("items", arguments));
  if (input.is_undefined()) return Value::iterator({});
  if (!input.is_dict()) return invalid_argument("items takes a dict, not '{}'", input.type_name());
  RETURN_IF_ERROR(evaluator.reserve(input.as_dict().entries.size() * kPairBytes));
  std::vector<Value> pairs;
  for (const auto& [key, value] : input.as_dict().entries) pairs.push_back(Value::tuple({key, value}));
  return Value::iterator(std::move(pairs));
}

Result<Value> dictsort(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("dictsort", arguments, {"case_sensitive", "by", "reverse"}));
  ASSIGN_OR_RETURN(const std::string by, parameters.string(1, "key"));
  if (by != "key" && by != "value") return invalid_argument("dictsort: 'by' must be key or value");
  if (!input.is_dict()) return invalid_argument("dictsort takes a dict, not '{}'", input.type_name());
  RETURN_IF_ERROR(evaluator.reserve(input.as_dict().entries.size() * (kPairBytes + kSortItemBytes)));
  std::vector<SortItem> entries;
  for (const auto& [key, value] : input.as_dict().entries) {
    const Value& sort_key = by == "key" ? key : value;
    entries.push_back({{parameters.truthy(0) ? sort_key : without_case(sort_key)},
                       Value::tuple({key, value})});
  }
  return sort_items(evaluator, std::move(entries), parameters.truthy(2));
}

Result<Value> sort(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("sort", arguments, {"reverse", "case_sensitive", "attribute"}));
  std::vector<Value> attributes = {parameters.has(2) ? parameters[2] : Value::none()};
  if (attributes[0].is_string()) {
    std::string_view rest = attributes[0].as_string();
    std::vector<Value> names;
    for (size_t comma = rest.find(','); comma != std::string_view::npos; comma = rest.find(',')) {
      names.push_back(Value::string(std::string(rest.substr(0, comma))));
      rest.remove_prefix(comma + 1);
    }
    names.push_back(Value::string(std::string(rest)));
    attributes = std::move(names);
  }
  ASSIGN_OR_RETURN(const std::vector<Value> values, evaluator.iterate(input));
  RETURN_IF_ERROR(evaluator.reserve(values.size() * attributes.size() * kSortItemBytes));
  std::vector<SortItem> entries;
  for (const Value& value : values) {
    SortItem entry{{}, value};
    for (const Value& attribute : attributes) {
      ASSIGN_OR_RETURN(Value key, attribute_path(evaluator, value, attribute));
      entry.keys.push_back(parameters.truthy(1) ? key : without_case(key));
    }
    entries.push_back(std::move(entry));
  }
  return sort_items(evaluator, std::move(entries), parameters.truthy(0));
}

Result<Value> unique(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("unique", arguments, {"case_sensitive", "attribute"}));
  ASSIGN_OR_RETURN(const std::vector<Value> values, evaluator.iterate(input));
  std::vector<std::pair<Value, Value>> seen;
  std::vector<Value> kept;
  for (const Value& value : values) {
    ASSIGN_OR_RETURN(Value key, attribute_path(evaluator, value, parameters[1]));
    if (!parameters.truthy(0)) key = without_case(key);
    const size_t before = seen.size();
    RETURN_IF_ERROR(insert(evaluator, seen, key, Value::none()));
    if (seen.size() > before) kept.push_back(value);
  }
  return Value::iterator(std::move(kept));
}

template <bool kLargest>
Result<Value> extreme(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("min/max", arguments, {"case_sensitive", "attribute"}));
  ASSIGN_OR_RETURN(const std::vector<Value> values, evaluator.iterate(input));
  if (values.empty()) return Value::undefined("a sequence is empty and has no extreme item");
  std::optional<Value> best, best_key;
  for (const Value& value : values) {
    ASSIGN_OR_RETURN(Value key, attribute_path(evaluator, value, parameters[1]));
    if (!parameters.truthy(0)) key = without_case(key);
    bool better = !best;
    if (best) {
      ASSIGN_OR_RETURN(better, compare_with(evaluator, kLargest ? CompareOp::kGt : CompareOp::kLt,
                                            key, *best_key));
    }
    if (better) {
      best = value;
      best_key = key;
    }
  }
  return *best;
}

Result<Value> sum(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("sum", arguments, {"attribute", "start"}));
  Value total = parameters.has(1) ? parameters[1] : Value::integer(0);
  if (total.is_string()) return invalid_argument("sum cannot add strings; use join");
  ASSIGN_OR_RETURN(const std::vector<Value> values, evaluator.iterate(input));
  for (const Value& value : values) {
    ASSIGN_OR_RETURN(const Value item, attribute_path(evaluator, value, parameters[0]));
    ASSIGN_OR_RETURN(total, arithmetic(evaluator, BinaryOp::kAdd, total, item));
  }
  return total;
}

Result<Value> batch(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("batch", arguments, {"linecount", "fill_with"}, 1));
  ASSIGN_OR_RETURN(const int64_t count, parameters.integer(0, 0));
  ASSIGN_OR_RETURN(const std::vector<Value> values, evaluator.iterate(input));
  RETURN_IF_ERROR(evaluator.reserve(values.size() * kPairBytes));
  std::vector<Value> rows, row;
  for (const Value& value : values) {
    if (static_cast<int64_t>(row.size()) == count) rows.push_back(Value::list(std::exchange(row, {})));
    row.push_back(value);
  }
  const bool fill = parameters.has(1) && !parameters[1].is_none();
  if (!row.empty() && fill && count > static_cast<int64_t>(row.size())) {
    RETURN_IF_ERROR(evaluator.reserve(static_cast<size_t>(std::min<int64_t>(count, INT64_MAX / 64)) *
                                      sizeof(Value)));
    row.resize(static_cast<size_t>(count), parameters[1]);
  }
  if (!row.empty()) rows.push_back(Value::list(std::move(row)));
  return Value::iterator(std::move(rows));
}

Result<Value> slice_filter(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("slice", arguments, {"slices", "fill_with"}, 1));
  ASSIGN_OR_RETURN(const int64_t slices, parameters.integer(0, 0));
  ASSIGN_OR_RETURN(const std::vector<Value> values, evaluator.iterate(input));
  if (slices == 0) return invalid_argument("division by zero");
  if (slices < 0) return Value::iterator({});
  RETURN_IF_ERROR(evaluator.reserve(static_cast<size_t>(std::min<int64_t>(slices, INT64_MAX / 256)) *
                                    128));
  const auto total = static_cast<int64_t>(values.size());
  const bool fill = parameters.has(1) && !parameters[1].is_none();
  std::vector<Value> rows;
  auto next = values.begin();
  for (int64_t i = 0; i < slices; ++i) {
    const bool extra = i < total % slices;
    const auto end = next + total / slices + (extra ? 1 : 0);
    std::vector<Value> row(next, end);
    if (fill && !extra) row.push_back(parameters[1]);
    rows.push_back(Value::list(std::move(row)));
    next = end;
  }
  return Value::iterator(std::move(rows));
}

constexpr FilterEntry kFilters[] = {
    {"length", length},   {"count", length}, {"join", join},     {"first", first},
    {"last", last},       {"list", list},    {"reverse", reverse}, {"items", items},
    {"dictsort", dictsort}, {"sort", sort},  {"unique", unique}, {"min", extreme<false>},
    {"max", extreme<true>}, {"sum", sum},    {"batch", batch},   {"slice", slice_filter},
};

}  // namespace

std::span<const FilterEntry> sequence_filters() { return kFilters; }

}  // namespace lmdeploy::jinja
