// Filters that apply another filter, a test or an attribute to each item.
#include "text/jinja/compare.h"
#include "text/jinja/filters.h"
#include "text/jinja/sorting.h"

namespace lmdeploy::jinja {

namespace {

Result<Value> map_attribute(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("map", arguments, {"attribute", "default"}));
  ASSIGN_OR_RETURN(std::vector<Value> items, evaluator.iterate(input));
  for (Value& item : items) {
    ASSIGN_OR_RETURN(item, attribute_path(evaluator, item, parameters[0]));
    if (item.is_undefined() && parameters.has(1) && !parameters[1].is_none()) item = parameters[1];
  }
  return Value::iterator(std::move(items));
}

Result<Value> map(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  if (!input.truthy()) return Value::iterator({});
  if (arguments.positional.empty()) {
    for (const auto& [name, value] : arguments.named) {
      if (name == "attribute") return map_attribute(evaluator, input, arguments);
    }
  }
  if (arguments.positional.empty() || !arguments.positional[0].is_string()) {
    return invalid_argument("map needs the name of a filter, or attribute=");
  }
  ASSIGN_OR_RETURN(std::vector<Value> items, evaluator.iterate(input));
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin());
  for (Value& item : items) {
    ASSIGN_OR_RETURN(item,
                     evaluator.apply_filter(arguments.positional[0].as_string(), item, rest));
  }
  return Value::iterator(std::move(items));
}

// select, reject (of items) and selectattr, rejectattr (of an attribute of each item).
template <bool kWanted, bool kByAttribute>
Result<Value> select(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  if (!input.truthy()) return Value::iterator({});
  Arguments rest = arguments;
  Value attribute;
  if (kByAttribute) {
    if (rest.positional.empty()) return invalid_argument("selectattr needs the name of an attribute");
    attribute = rest.positional[0];
    rest.positional.erase(rest.positional.begin());
  }
  std::optional<std::string> test;
  if (!rest.positional.empty()) {
    if (!rest.positional[0].is_string()) return invalid_argument("select needs the name of a test");
    test = rest.positional[0].as_string();
    rest.positional.erase(rest.positional.begin());
  }
  ASSIGN_OR_RETURN(const std::vector<Value> items, evaluator.iterate(input));
  std::vector<Value> kept;
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(const Value tested, attribute_path(evaluator, item, attribute));
    bool passed = tested.truthy();
    if (test) {
      ASSIGN_OR_RETURN(passed, evaluator.apply_test(*test, tested, rest));
    }
    if (passed == kWanted) kept.push_back(item);
  }
  return Value::iterator(std::move(kept));
}

Result<Value> groupby(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(
      const Parameters parameters,
      Parameters::bind("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1));
  ASSIGN_OR_RETURN(const std::vector<Value> values, evaluator.iterate(input));
  RETURN_IF_ERROR(evaluator.reserve(values.size() * (2 * kPairBytes + kSortItemBytes)));
  std::vector<SortItem> items;
  for (const Value& value : values) {
    ASSIGN_OR_RETURN(Value key, attribute_path(evaluator, value, parameters[0]));
    if (key.is_undefined() && parameters.has(1)) key = parameters[1];
    const Value sort_key = parameters.truthy(2) ? key : without_case(key);
    items.push_back({{sort_key}, Value::tuple({key, value})});
  }
  RETURN_IF_ERROR(sort_in_place(evaluator, items, false));
  std::vector<Value> groups;
  for (size_t begin = 0; begin < items.size();) {
    size_t end = begin;
    std::vector<Value> members;
    for (; end < items.size() && equal(items[end].keys[0], items[begin].keys[0]); ++end) {
      members.push_back(items[end].value.items()[1]);
    }
    if (end == begin) members.push_back(items[end++].value.items()[1]);  // a NaN equals nothing
    groups.push_back(Value::sequence(
        Kind::kTuple, {items[begin].value.items()[0], Value::list(std::move(members))}, "group"));
    begin = end;
  }
  return Value::list(std::move(groups));
}

constexpr FilterEntry kFilters[] = {
    {"map", map},
    {"select", select<true, false>},
    {"reject", select<false, false>},
    {"selectattr", select<true, true>},
    {"rejectattr", select<false, true>},
    {"groupby", groupby},
};

}  // namespace

std::span<const FilterEntry> select_filters() { return kFilters; }

}  // namespace lmdeploy::jinja
