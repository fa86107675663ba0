// Filters on numbers and single values.
#include <cmath>

#include "text/jinja/filters.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"

namespace lmdeploy::jinja {

namespace {

constexpr double kInt64Limit = 9223372036854775808.0;

// int(number) toward zero; nullopt when it has no 64-bit value.
std::optional<Value> truncated(double number) {
  if (!(std::fabs(number) < kInt64Limit)) return std::nullopt;
  return Value::integer(static_cast<int64_t>(number));
}

Result<Value> to_int(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("int", arguments, {"default", "base"}));
  const Value fallback = parameters.has(0) ? parameters[0] : Value::integer(0);
  ASSIGN_OR_RETURN(const int64_t base, parameters.integer(1, 10));
  if (input.is_undefined()) return invalid_argument("{}", input.undefined_message());
  if (input.is_integral()) return Value::integer(input.as_int());
  if (input.is(Kind::kFloat)) {
    if (std::isinf(input.as_double())) return fallback;
    return truncated(input.as_double()).value_or(fallback);
  }
  if (!input.is_string()) return fallback;
  RETURN_IF_ERROR(evaluator.scan(input.as_string().size()));
  const std::optional<int64_t> whole =
      base > 36 ? std::nullopt : parse_integer(input.as_string(), static_cast<int>(base));
  if (whole) return Value::integer(*whole);
  const std::optional<double> number = parse_float(input.as_string());
  return number ? truncated(*number).value_or(fallback) : fallback;
}

Result<Value> to_float(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters, Parameters::bind("float", arguments, {"default"}));
  const Value fallback = parameters.has(0) ? parameters[0] : Value::real(0);
  if (input.is_undefined()) return invalid_argument("{}", input.undefined_message());
  if (input.is_number()) return Value::real(input.as_double());
  if (!input.is_string()) return fallback;
  RETURN_IF_ERROR(evaluator.scan(input.as_string().size()));
  const std::optional<double> number = parse_float(input.as_string());
  return number ? Value::real(*number) : fallback;
}

Result<Value> absolute(Evaluator&, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(Parameters::bind("abs", arguments, {}).status());
  if (!input.is_number()) {
    return invalid_argument("abs takes a number, not '{}'", input.type_name());
  }
  if (input.is_integral()) return negate(input, input.as_int() < 0);
  return Value::real(std::fabs(input.as_double()));
}

// round() to even on the exact decimal value, as Python does.
double round_to(double number, int64_t digits) {
  if (!std::isfinite(number) || digits > 300) return number;
  if (digits < -308) return std::copysign(0.0, number);
  if (digits >= 0) return std::strtod(fmt::format("{:.{}f}", number, digits).c_str(), nullptr);
  const double unit = std::pow(10.0, static_cast<double>(-digits));
  return std::nearbyint(number / unit) * unit;
}

int64_t round_integer(int64_t number, int64_t digits) {
  if (digits >= 0) return number;
  if (digits < -18) return 0;
  int64_t unit = 1;
  for (; digits < 0; ++digits) unit *= 10;
  const int64_t rest = ((number % unit) + unit) % unit;
  const int64_t low = number - rest;
  const bool up = rest * 2 > unit || (rest * 2 == unit && (low / unit) % 2 != 0);
  return up ? low + unit : low;
}

Result<Value> round(Evaluator&, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("round", arguments, {"precision", "method"}));
  ASSIGN_OR_RETURN(const int64_t digits, parameters.integer(0, 0));
  ASSIGN_OR_RETURN(const std::string method, parameters.string(1, "common"));
  if (method != "common" && method != "ceil" && method != "floor") {
    return invalid_argument("round: 'method' must be common, ceil or floor");
  }
  if (!input.is_number()) {
    return invalid_argument("round takes a number, not '{}'", input.type_name());
  }
  if (method == "common") {
    if (!input.is_integral()) return Value::real(round_to(input.as_double(), digits));
    if (std::fabs(input.as_double()) > 4e18) return invalid_argument("a number exceeds 64 bits");
    return Value::integer(round_integer(input.as_int(), digits));
  }
  const double unit = std::pow(10.0, static_cast<double>(digits));
  const double scaled = input.as_double() * unit;
  const double whole = method == "ceil" ? std::ceil(scaled) : std::floor(scaled);
  if (!std::isfinite(whole / unit)) return invalid_argument("round: the precision is out of range");
  return Value::real(whole / unit);
}

Result<Value> default_value(Evaluator&, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("default", arguments, {"default_value", "boolean"}));
  if (!input.is_undefined() && !(parameters.truthy(1) && !input.truthy())) return input;
  return parameters.has(0) ? parameters[0] : Value::string("");
}

Result<Value> attr(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters, Parameters::bind("attr", arguments, {"name"}, 1));
  ASSIGN_OR_RETURN(const std::string name, parameters.string(0, ""));
  if (input.is_dict()) return evaluator.get_attribute(Value::dict({}), name);
  return evaluator.get_attribute(input, name);
}

Result<Value> filesizeformat(Evaluator&, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("filesizeformat", arguments, {"binary"}));
  const std::optional<double> parsed =
      input.is_string() ? parse_float(input.as_string())
                        : input.is_number() ? std::optional<double>(input.as_double()) : std::nullopt;
  if (!parsed || !std::isfinite(*parsed)) return invalid_argument("filesizeformat takes a number");
  const bool binary = parameters.truthy(0);
  const double base = binary ? 1024 : 1000;
  if (*parsed == 1) return Value::string("1 Byte");
  if (*parsed < base) {
    return Value::string(fmt::format("{} Bytes", static_cast<int64_t>(std::trunc(std::max(*parsed, -9e18)))));
  }
  static constexpr std::string_view kPrefixes = "kMGTPEZY";
  double unit = base;
  size_t i = 0;
  for (; i + 1 < kPrefixes.size() && *parsed >= unit * base; ++i) unit *= base;
  const std::string prefix = binary ? std::string(1, static_cast<char>(std::toupper(kPrefixes[i]))) + "i"
                                    : std::string(1, kPrefixes[i]);
  return Value::string(fmt::format("{:.1f} {}B", *parsed / unit, prefix));
}

constexpr FilterEntry kFilters[] = {
    {"default", default_value}, {"d", default_value}, {"int", to_int},
    {"float", to_float},        {"abs", absolute},    {"round", round},
    {"attr", attr},             {"filesizeformat", filesizeformat},
};

}  // namespace

std::span<const FilterEntry> number_filters() { return kFilters; }

}  // namespace lmdeploy::jinja
