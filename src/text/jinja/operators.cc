#include "text/jinja/operators.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "text/jinja/compare.h"
#include "text/jinja/format.h"
#include "text/jinja/html.h"
#include "text/jinja/python_text.h"
#include "text/jinja/string_ops.h"

namespace lmdeploy::jinja {

namespace {

const char* op_text(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd: return "+";
    case BinaryOp::kSub: return "-";
    case BinaryOp::kMul: return "*";
    case BinaryOp::kDiv: return "/";
    case BinaryOp::kFloorDiv: return "//";
    case BinaryOp::kMod: return "%";
    case BinaryOp::kPow: return "**";
    default: return "and/or";
  }
}

Status wrong_types(BinaryOp op, const Value& left, const Value& right) {
  if (left.is_undefined()) return invalid_argument("{}", left.undefined_message());
  if (right.is_undefined()) return invalid_argument("{}", right.undefined_message());
  return invalid_argument("'{}' does not work between '{}' and '{}'", op_text(op), left.type_name(),
                          right.type_name());
}

Status overflow() { return invalid_argument("a number exceeds 64 bits"); }
Status zero_division() { return invalid_argument("division by zero"); }

int64_t floor_div(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

Result<Value> integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return zero_division();
    return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return overflow();
  }
  return Value::integer(result);
}

Result<Value> integer_arithmetic(BinaryOp op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case BinaryOp::kAdd:
      if (__builtin_add_overflow(a, b, &result)) return overflow();
      return Value::integer(result);
    case BinaryOp::kSub:
      if (__builtin_sub_overflow(a, b, &result)) return overflow();
      return Value::integer(result);
    case BinaryOp::kMul:
      if (__builtin_mul_overflow(a, b, &result)) return overflow();
      return Value::integer(result);
    case BinaryOp::kDiv:
      if (b == 0) return zero_division();
      return Value::real(static_cast<double>(a) / static_cast<double>(b));
    case BinaryOp::kPow: return integer_power(a, b);
    default: break;
  }
  if (b == 0) return zero_division();
  if (a == std::numeric_limits<int64_t>::min() && b == -1) return overflow();
  const int64_t quotient = floor_div(a, b);
  return Value::integer(op == BinaryOp::kFloorDiv ? quotient : a - quotient * b);
}

// Python's float % keeps the sign of the divisor.
double float_mod(double a, double b) {
  double remainder = std::fmod(a, b);
  if (remainder != 0 && (remainder < 0) != (b < 0)) remainder += b;
  return remainder == 0 ? std::copysign(0.0, b) : remainder;
}

Result<Value> float_arithmetic(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd: return Value::real(a + b);
    case BinaryOp::kSub: return Value::real(a - b);
    case BinaryOp::kMul: return Value::real(a * b);
    case BinaryOp::kPow: {
      if (a == 0 && b < 0) return zero_division();
      const double power = std::pow(a, b);
      if (std::isnan(power) && !std::isnan(a) && !std::isnan(b)) {
        return invalid_argument("a power of a negative number is complex");
      }
      if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) {
        return invalid_argument("a power is out of range");
      }
      return Value::real(power);
    }
    default: break;
  }
  if (b == 0) return zero_division();
  if (op == BinaryOp::kDiv) return Value::real(a / b);
  const double remainder = float_mod(a, b);
  if (op == BinaryOp::kMod) return Value::real(remainder);
  const double quotient = (a - remainder) / b;
  return Value::real(quotient == 0 ? std::copysign(0.0, a / b) : std::round(quotient));
}

Result<Value> add_strings(Evaluator& evaluator, const Value& left, const Value& right) {
  const StringObject& a = left.string_object();
  const StringObject& b = right.string_object();
  const bool markup = a.markup || b.markup;
  const auto part = [&](const StringObject& text) {
    return markup && !text.markup ? escape_html(text.text) : text.text;
  };
  RETURN_IF_ERROR(evaluator.reserve((a.text.size() + b.text.size()) * (markup ? 6 : 1)));
  return Value::string(part(a) + part(b), markup);
}

Result<Value> add_sequences(Evaluator& evaluator, const Value& left, const Value& right) {
  std::vector<Value> items = left.items();
  RETURN_IF_ERROR(evaluator.reserve((items.size() + right.items().size()) * sizeof(Value)));
  items.insert(items.end(), right.items().begin(), right.items().end());
  return Value::sequence(left.kind(), std::move(items));
}

Result<Value> repeat(Evaluator& evaluator, const Value& value, int64_t count) {
  const auto times = static_cast<size_t>(std::max<int64_t>(count, 0));
  const size_t bytes =
      value.is_string() ? value.as_string().size() : value.items().size() * sizeof(Value);
  if (bytes != 0 && times > std::numeric_limits<size_t>::max() / bytes) return overflow();
  RETURN_IF_ERROR(evaluator.reserve(bytes * times));
  if (bytes == 0) return value.is_string() ? value : Value::sequence(value.kind(), {});
  if (value.is_string()) {
    std::string text;
    text.reserve(bytes * times);
    for (size_t i = 0; i < times; ++i) text += value.as_string();
    return Value::string(std::move(text), value.string_object().markup);
  }
  std::vector<Value> items;
  items.reserve(value.items().size() * times);
  for (size_t i = 0; i < times; ++i) {
    items.insert(items.end(), value.items().begin(), value.items().end());
  }
  return Value::sequence(value.kind(), std::move(items));
}

bool repeatable(const Value& value) {
  return value.is_string() || value.is(Kind::kList) || value.is(Kind::kTuple);
}

// Index parts of a slice as Python's slice.indices() gives them.
struct Range {
  int64_t start, stop, step;
};

Result<int64_t> slice_part(const Value& part, int64_t fallback) {
  if (part.is_none()) return fallback;
  if (part.is_integral()) return part.as_int();
  return invalid_argument("a slice index must be an integer, not '{}'", part.type_name());
}

Result<Range> slice_range(int64_t length, const Value& start, const Value& stop, const Value& step) {
  Range range{};
  ASSIGN_OR_RETURN(range.step, slice_part(step, 1));
  if (range.step == 0) return invalid_argument("the step of a slice is zero");
  const bool back = range.step < 0;
  const int64_t low = back ? -1 : 0, high = back ? length - 1 : length;
  const auto clamp = [&](int64_t index) {
    if (index < 0) index = index < -length ? low : index + length;
    return std::clamp(index, low, std::max(low, high));
  };
  ASSIGN_OR_RETURN(range.start, slice_part(start, back ? high : low));
  ASSIGN_OR_RETURN(range.stop, slice_part(stop, back ? low : high));
  if (!start.is_none()) range.start = clamp(range.start);
  if (!stop.is_none()) range.stop = clamp(range.stop);
  return range;
}

template <class F>
void for_each_index(const Range& range, const F& visit) {
  if (range.step > 0) {
    for (int64_t i = range.start; i < range.stop; i += std::min(range.step, range.stop - i)) {
      visit(static_cast<size_t>(i));
    }
  } else {
    for (int64_t i = range.start; i > range.stop; i += std::max(range.step, range.stop - i)) {
      visit(static_cast<size_t>(i));
    }
  }
}

std::string slice_text(const StringObject& text, const Range& range) {
  if (range.step == 1) {
    if (range.start >= range.stop) return {};
    if (text.ascii()) {
      return text.text.substr(static_cast<size_t>(range.start),
                              static_cast<size_t>(range.stop - range.start));
    }
    const size_t begin = byte_offset(text.text, range.start);
    const std::string_view rest = std::string_view(text.text).substr(begin);
    return std::string(rest.substr(0, byte_offset(rest, range.stop - range.start)));
  }
  const std::vector<char32_t> points = code_points(text.text);
  std::vector<char32_t> taken;
  for_each_index(range, [&](size_t i) { taken.push_back(points[i]); });
  return from_code_points(taken);
}

bool hashable(const Value& key) {
  if (key.is(Kind::kList) || key.is_dict() || key.is(Kind::kView)) return false;
  if (!key.is(Kind::kTuple)) return true;
  return std::all_of(key.items().begin(), key.items().end(), hashable);
}

}  // namespace

Result<Value> arithmetic(Evaluator& evaluator, BinaryOp op, const Value& left, const Value& right) {
  if (op == BinaryOp::kMod && left.is_string()) return percent_format(evaluator, left, right);
  if (left.is_number() && right.is_number()) {
    if (left.is_integral() && right.is_integral()) {
      return integer_arithmetic(op, left.as_int(), right.as_int());
    }
    return float_arithmetic(op, left.as_double(), right.as_double());
  }
  if (op == BinaryOp::kAdd) {
    if (left.is_string() && right.is_string()) return add_strings(evaluator, left, right);
    const bool sequences = left.is(Kind::kList) || left.is(Kind::kTuple);
    if (sequences && left.kind() == right.kind()) return add_sequences(evaluator, left, right);
  }
  if (op == BinaryOp::kMul) {
    if (repeatable(left) && right.is_integral()) return repeat(evaluator, left, right.as_int());
    if (repeatable(right) && left.is_integral()) return repeat(evaluator, right, left.as_int());
  }
  return wrong_types(op, left, right);
}

Result<Value> negate(const Value& value, bool negative) {
  if (value.is(Kind::kFloat)) return Value::real(negative ? -value.as_double() : value.as_double());
  if (value.is_undefined()) return invalid_argument("{}", value.undefined_message());
  if (!value.is_integral()) {
    return invalid_argument("a sign does not work on '{}'", value.type_name());
  }
  if (!negative) return Value::integer(value.as_int());
  if (value.as_int() == std::numeric_limits<int64_t>::min()) return overflow();
  return Value::integer(-value.as_int());
}

Result<bool> compare_with(Evaluator& evaluator, CompareOp op, const Value& left,
                          const Value& right) {
  if (op == CompareOp::kIn || op == CompareOp::kNotIn) {
    RETURN_IF_ERROR(evaluator.step(right.weight() / 4));
    if (left.is_undefined() && right.is_string()) {
      return invalid_argument("{}", left.undefined_message());
    }
    if (left.is_string() && right.is_string()) {
      RETURN_IF_ERROR(charge_search(evaluator, right.as_string(), left.as_string()));
    }
    ASSIGN_OR_RETURN(const bool found, contains(right, left));
    return found == (op == CompareOp::kIn);
  }
  RETURN_IF_ERROR(evaluator.step(std::min(left.weight(), right.weight() / 4)));
  if (op == CompareOp::kEq) return equal(left, right);
  if (op == CompareOp::kNe) return !equal(left, right);
  ASSIGN_OR_RETURN(const int order, compare(left, right));
  switch (op) {
    case CompareOp::kLt: return order == -1;
    case CompareOp::kLe: return order == -1 || order == 0;
    case CompareOp::kGt: return order == 1;
    default: return order == 1 || order == 0;
  }
}

Result<Value> slice(Evaluator& evaluator, const Value& object, const Value& start,
                    const Value& stop, const Value& step) {
  if (object.is_undefined()) return invalid_argument("{}", object.undefined_message());
  const bool sequence = object.is(Kind::kList) || object.is(Kind::kTuple) || object.is(Kind::kRange);
  if (!sequence && !object.is_string()) {
    return invalid_argument("'{}' object cannot be sliced", object.type_name());
  }
  const int64_t length = object.is_string() ? object.string_object().length
                                            : static_cast<int64_t>(object.items().size());
  ASSIGN_OR_RETURN(const Range range, slice_range(length, start, stop, step));
  RETURN_IF_ERROR(evaluator.step(object.weight() / 8));
  RETURN_IF_ERROR(evaluator.reserve(static_cast<size_t>(length) *
                                    (object.is_string() ? sizeof(char32_t) : sizeof(Value))));
  if (object.is_string()) {
    return Value::string(slice_text(object.string_object(), range), object.string_object().markup);
  }
  std::vector<Value> items;
  for_each_index(range, [&](size_t i) { items.push_back(object.items()[i]); });
  return Value::sequence(object.is(Kind::kTuple) ? Kind::kTuple : Kind::kList, std::move(items));
}

Status insert(Evaluator& evaluator, std::vector<std::pair<Value, Value>>& entries, Value key,
              Value value) {
  if (!hashable(key)) return invalid_argument("'{}' cannot be a key of a dict", key.type_name());
  RETURN_IF_ERROR(evaluator.step(static_cast<int64_t>(entries.size() / 16)));
  for (auto& [held_key, held] : entries) {
    if (equal(held_key, key)) {
      held = std::move(value);
      return {};
    }
  }
  entries.emplace_back(std::move(key), std::move(value));
  return {};
}

Result<std::vector<Value>> spend_iterator(Evaluator& evaluator, const Value& iterator) {
  const SequenceObject& object = iterator.sequence_object();
  RETURN_IF_ERROR(evaluator.step(static_cast<int64_t>(object.items.size() - object.cursor)));
  std::vector<Value> rest(object.items.begin() + static_cast<ptrdiff_t>(object.cursor),
                          object.items.end());
  object.cursor = object.items.size();
  return rest;
}

}  // namespace lmdeploy::jinja
