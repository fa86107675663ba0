#include "text/jinja/tests.h"

#include <algorithm>
#include <utility>

#include "text/jinja/filters.h"
#include "text/jinja/functions.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"
#include "text/jinja/repr.h"

namespace lmdeploy::jinja {

namespace {

Status no_arguments(std::string_view name, const Arguments& arguments) {
  return Parameters::bind(name, arguments, {}).status();
}

Result<Value> one_argument(std::string_view name, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters, Parameters::bind(name, arguments, {"other"}, 1));
  return parameters[0];
}

template <bool (*kPredicate)(const Value&)>
Result<bool> predicate(Evaluator&, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments("test", arguments));
  return kPredicate(input);
}

template <CompareOp kOp>
Result<bool> comparison(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Value other, one_argument("test", arguments));
  return compare_with(evaluator, kOp, input, other);
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_boolean(const Value& v) { return v.is(Kind::kBool); }
bool is_true(const Value& v) { return v.is(Kind::kBool) && v.as_bool(); }
bool is_false(const Value& v) { return v.is(Kind::kBool) && !v.as_bool(); }
bool is_integer(const Value& v) { return v.is(Kind::kInt); }
bool is_float(const Value& v) { return v.is(Kind::kFloat); }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.is_string(); }
bool is_mapping(const Value& v) { return v.is_dict(); }
bool is_callable(const Value& v) {
  return v.is_undefined() || (v.is(Kind::kOpaque) && v.as_opaque()->callable());
}
bool is_iterable(const Value& v) {
  return v.is_undefined() || v.is_string() || v.is_dict() || v.is_sequence_object();
}
bool is_sequence(const Value& v) {
  return v.is_undefined() || v.is_string() || v.is_dict() || v.is(Kind::kList) ||
         v.is(Kind::kTuple) || v.is(Kind::kRange);
}
bool is_escaped(const Value& v) { return v.is_string() && v.string_object().markup; }

// str.isupper() / str.islower(): some cased letter, and none of the other case.
template <bool kUpper>
Result<bool> has_case(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments("test", arguments));
  ASSIGN_OR_RETURN(const std::string text, evaluator.to_string(input));
  RETURN_IF_ERROR(evaluator.scan(text.size()));
  RETURN_IF_ERROR(evaluator.check_memory(text.size() * sizeof(char32_t)));
  bool any = false;
  for (const char32_t c : code_points(text)) {
    if (kUpper ? is_lower(c) || is_title(c) : is_upper(c) || is_title(c)) return false;
    any = any || (kUpper ? is_upper(c) : is_lower(c));
  }
  return any;
}

Result<bool> remainder_is(Evaluator& evaluator, const Value& input, int64_t divisor, int64_t wanted) {
  ASSIGN_OR_RETURN(const Value rest,
                   arithmetic(evaluator, BinaryOp::kMod, input, Value::integer(divisor)));
  return rest.is_number() && rest.as_double() == static_cast<double>(wanted);
}

Result<bool> test_odd(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments("odd", arguments));
  return remainder_is(evaluator, input, 2, 1);
}

Result<bool> test_even(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments("even", arguments));
  return remainder_is(evaluator, input, 2, 0);
}

Result<bool> test_divisibleby(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("divisibleby", arguments, {"num"}, 1));
  ASSIGN_OR_RETURN(const Value rest, arithmetic(evaluator, BinaryOp::kMod, input, parameters[0]));
  return rest.is_number() && rest.as_double() == 0;
}

Result<bool> test_sameas(Evaluator&, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Value other, one_argument("sameas", arguments));
  return input.same_as(other);
}

Result<bool> test_in(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters, Parameters::bind("in", arguments, {"seq"}, 1));
  return compare_with(evaluator, CompareOp::kIn, input, parameters[0]);
}

Result<bool> test_filter(Evaluator&, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments("filter", arguments));
  return input.is_string() && find_filter(input.as_string()) != nullptr;
}

Result<bool> test_test(Evaluator&, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments("test", arguments));
  return input.is_string() && find_test(input.as_string()) != nullptr;
}

constexpr std::pair<std::string_view, TestFunction> kTests[] = {
    {"defined", predicate<is_defined>},
    {"undefined", predicate<is_undefined>},
    {"none", predicate<is_none>},
    {"string", predicate<is_string>},
    {"mapping", predicate<is_mapping>},
    {"iterable", predicate<is_iterable>},
    {"sequence", predicate<is_sequence>},
    {"number", predicate<is_number>},
    {"boolean", predicate<is_boolean>},
    {"true", predicate<is_true>},
    {"false", predicate<is_false>},
    {"integer", predicate<is_integer>},
    {"float", predicate<is_float>},
    {"callable", predicate<is_callable>},
    {"escaped", predicate<is_escaped>},
    {"upper", has_case<true>},
    {"lower", has_case<false>},
    {"odd", test_odd},
    {"even", test_even},
    {"divisibleby", test_divisibleby},
    {"sameas", test_sameas},
    {"in", test_in},
    {"filter", test_filter},
    {"test", test_test},
    {"eq", comparison<CompareOp::kEq>},
    {"equalto", comparison<CompareOp::kEq>},
    {"==", comparison<CompareOp::kEq>},
    {"ne", comparison<CompareOp::kNe>},
    {"!=", comparison<CompareOp::kNe>},
    {"lt", comparison<CompareOp::kLt>},
    {"lessthan", comparison<CompareOp::kLt>},
    {"<", comparison<CompareOp::kLt>},
    {"le", comparison<CompareOp::kLe>},
    {"<=", comparison<CompareOp::kLe>},
    {"gt", comparison<CompareOp::kGt>},
    {"greaterthan", comparison<CompareOp::kGt>},
    {">", comparison<CompareOp::kGt>},
    {"ge", comparison<CompareOp::kGe>},
    {">=", comparison<CompareOp::kGe>},
};

}  // namespace

TestFunction find_test(std::string_view name) {
  const auto found = std::find_if(std::begin(kTests), std::end(kTests),
                                  [&](const auto& entry) { return entry.first == name; });
  return found == std::end(kTests) ? nullptr : found->second;
}

}  // namespace lmdeploy::jinja
