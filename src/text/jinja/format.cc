#include "text/jinja/format.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "text/jinja/python_text.h"
#include "text/jinja/repr.h"
#include "text/jinja/string_ops.h"

namespace lmdeploy::jinja {

namespace {

constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxPrecision = 200;

// [[fill]align][sign][#][0][width][,][.precision][type]
struct Spec {
  std::string fill = " ";
  char align = 0;  // < > ^ =
  char sign = '-';
  bool alternate = false;
  char grouping = 0;
  int64_t width = 0;
  int64_t precision = -1;
  char type = 0;
};

// Digits at text[pos]; -1 when there are none.
int64_t read_number(std::string_view text, size_t& pos) {
  if (pos >= text.size() || text[pos] < '0' || text[pos] > '9') return -1;
  int64_t number = 0;
  for (; pos < text.size() && text[pos] >= '0' && text[pos] <= '9'; ++pos) {
    number = std::min<int64_t>(number * 10 + (text[pos] - '0'), kMaxWidth + 1);
  }
  return number;
}

bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

Status check(const Spec& spec) {
  if (spec.width > kMaxWidth || spec.precision > kMaxPrecision) {
    return invalid_argument("a format asks for more than {} characters or {} digits", kMaxWidth,
                            kMaxPrecision);
  }
  return {};
}

Result<Spec> parse_spec(std::string_view text) {
  Spec spec;
  const size_t first = byte_offset(text, 1);
  size_t pos = 0;
  if (first < text.size() && is_align(text[first])) {
    spec.fill = text.substr(0, first);
    spec.align = text[first];
    pos = first + 1;
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[pos++];
  }
  const auto at = [&](char c) { return pos < text.size() && text[pos] == c; };
  if (at('+') || at('-') || at(' ')) spec.sign = text[pos++];
  if (at('#')) {
    spec.alternate = true;
    ++pos;
  }
  if (at('0')) {
    if (spec.align == 0) {
      spec.align = '=';
      spec.fill = "0";
    }
    ++pos;
  }
  spec.width = std::max<int64_t>(read_number(text, pos), 0);
  if (at(',') || at('_')) spec.grouping = text[pos++];
  if (at('.')) {
    ++pos;
    spec.precision = read_number(text, pos);
    if (spec.precision < 0) return invalid_argument("a format lacks its precision");
  }
  if (pos < text.size()) spec.type = text[pos++];
  if (pos != text.size()) return invalid_argument("'{}' is no format", text);
  RETURN_IF_ERROR(check(spec));
  return spec;
}

std::string grouped(const std::string& digits, char separator, size_t every) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % every == 0) out += separator;
    out += digits[i];
  }
  return out;
}

// `digits` (unsigned, perhaps with a fraction) with sign, prefix and padding.
Result<std::string> finish_number(Evaluator& evaluator, const Spec& spec, bool negative,
                                  const std::string& prefix, std::string digits) {
  if (spec.grouping != 0) {
    const size_t end = std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
    digits = grouped(digits.substr(0, end), spec.grouping, prefix.empty() ? 3 : 4) + digits.substr(end);
  }
  const std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  const std::string head = sign + prefix;
  const auto missing =
      std::max<int64_t>(spec.width - static_cast<int64_t>(head.size() + digits.size()), 0);
  const char align = spec.align == 0 ? '>' : spec.align;
  if (align == '=') {
    ASSIGN_OR_RETURN(const Value padded, pad_text(evaluator, digits, spec.fill, missing, 0));
    return head + padded.as_string();
  }
  const int64_t left = align == '<' ? 0 : align == '>' ? missing : missing / 2;
  ASSIGN_OR_RETURN(const Value padded,
                   pad_text(evaluator, head + digits, spec.fill, left, missing - left));
  return padded.as_string();
}

Result<std::string> format_integer(Evaluator& evaluator, const Spec& spec, int64_t number) {
  const bool negative = number < 0;
  const uint64_t magnitude = negative ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
  switch (spec.type) {
    case 0:
    case 'd':
    case 'n': return finish_number(evaluator, spec, negative, "", std::to_string(magnitude));
    case 'x':
      return finish_number(evaluator, spec, negative, spec.alternate ? "0x" : "",
                           fmt::format("{:x}", magnitude));
    case 'X':
      return finish_number(evaluator, spec, negative, spec.alternate ? "0X" : "",
                           fmt::format("{:X}", magnitude));
    case 'o':
      return finish_number(evaluator, spec, negative, spec.alternate ? "0o" : "",
                           fmt::format("{:o}", magnitude));
    case 'b':
      return finish_number(evaluator, spec, negative, spec.alternate ? "0b" : "",
                           fmt::format("{:b}", magnitude));
    default: return invalid_argument("'{}' is no format for an integer", spec.type);
  }
}

Result<std::string> format_float(Evaluator& evaluator, Spec spec, double number) {
  const bool negative = std::signbit(number) && !std::isnan(number);
  double magnitude = std::fabs(number);
  std::string digits;
  const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
  if (std::isnan(number) || std::isinf(number)) {
    digits = std::isnan(number) ? "nan" : "inf";
  } else {
    switch (spec.type) {
      case 0:
        digits = spec.precision < 0 ? python_repr(magnitude)
                                    : fmt::format("{:.{}g}", magnitude, std::max(precision, 1));
        break;
      case 'f':
      case 'F': digits = fmt::format("{:.{}f}", magnitude, precision); break;
      case 'e': digits = fmt::format("{:.{}e}", magnitude, precision); break;
      case 'E': digits = fmt::format("{:.{}E}", magnitude, precision); break;
      case 'g': digits = fmt::format("{:.{}g}", magnitude, std::max(precision, 1)); break;
      case 'G': digits = fmt::format("{:.{}G}", magnitude, std::max(precision, 1)); break;
      case '%': digits = fmt::format("{:.{}f}%", magnitude * 100, precision); break;
      default: return invalid_argument("'{}' is no format for a float", spec.type);
    }
  }
  return finish_number(evaluator, spec, negative, "", digits);
}

Result<std::string> format_text(Evaluator& evaluator, const Spec& spec, std::string text) {
  if (spec.precision >= 0) text = text.substr(0, byte_offset(text, spec.precision));
  const int64_t missing = std::max<int64_t>(spec.width - code_point_count(text), 0);
  const char align = spec.align == 0 ? '<' : spec.align;
  const int64_t left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  ASSIGN_OR_RETURN(const Value padded, pad_text(evaluator, text, spec.fill, left, missing - left));
  return padded.as_string();
}

bool is_float_type(char type) {
  return type != 0 && std::string_view("eEfFgG%").find(type) != std::string_view::npos;
}

Result<std::string> format_value(Evaluator& evaluator, const Value& value, std::string_view text) {
  if (text.empty()) return evaluator.to_string(value);
  ASSIGN_OR_RETURN(const Spec spec, parse_spec(text));
  if (value.is(Kind::kFloat) || (value.is_integral() && is_float_type(spec.type))) {
    return format_float(evaluator, spec, value.as_double());
  }
  if (value.is_integral()) return format_integer(evaluator, spec, value.as_int());
  if (!value.is_string() || (spec.type != 0 && spec.type != 's')) {
    return invalid_argument("'{}' is no format for '{}'", text, value.type_name());
  }
  return format_text(evaluator, spec, value.as_string());
}

// One "%..." of a percent format.
class PercentFormatter {
 public:
  PercentFormatter(Evaluator& evaluator, std::string_view format, const Value& arguments)
      : evaluator_(evaluator), format_(format), arguments_(arguments) {
    if (arguments.is(Kind::kTuple)) {
      values_ = arguments.items();
    } else {
      values_ = {arguments};
    }
  }

  Result<std::string> run() {
    std::string out;
    while (pos_ < format_.size()) {
      const size_t percent = std::min(format_.find('%', pos_), format_.size());
      out += format_.substr(pos_, percent - pos_);
      pos_ = percent + 1;
      if (percent == format_.size()) break;
      ASSIGN_OR_RETURN(const std::string text, directive());
      RETURN_IF_ERROR(evaluator_.check_memory(out.size() + text.size()));
      out += text;
    }
    const bool takes_all = arguments_.is_dict() || arguments_.is(Kind::kList) ||
                           arguments_.is(Kind::kRange) || arguments_.is_undefined();
    if (next_ < values_.size() && !used_names_ && !takes_all) {
      return invalid_argument("not all arguments were used by the % format");
    }
    return out;
  }

 private:
  bool at(char c) const { return pos_ < format_.size() && format_[pos_] == c; }

  Result<Value> take() {
    if (next_ >= values_.size()) return invalid_argument("the % format needs more arguments");
    return values_[next_++];
  }

  Result<Value> named() {
    const size_t close = format_.find(')', pos_);
    if (close == std::string_view::npos || !arguments_.is_dict()) {
      return invalid_argument("a %(name) format needs a dict");
    }
    const std::string_view name = format_.substr(pos_ + 1, close - pos_ - 1);
    const Value* found = arguments_.as_dict().find(name);
    if (found == nullptr) return invalid_argument("the % format needs '{}'", name);
    pos_ = close + 1;
    used_names_ = true;
    return *found;
  }

  Result<std::string> directive() {
    RETURN_IF_ERROR(evaluator_.step());
    if (at('%')) {
      ++pos_;
      return std::string("%");
    }
    std::optional<Value> value;
    if (at('(')) {
      ASSIGN_OR_RETURN(value, named());
    }
    Spec spec;
    spec.align = '>';
    for (; pos_ < format_.size(); ++pos_) {
      if (at('-')) {
        spec.align = '<';
        spec.fill = " ";
      } else if (at('0') && spec.align != '<') {
        spec.align = '=';
        spec.fill = "0";
      } else if (at('+') || at(' ')) {
        spec.sign = format_[pos_];
      } else if (at('#')) {
        spec.alternate = true;
      } else {
        break;
      }
    }
    spec.width = std::max<int64_t>(read_number(format_, pos_), 0);
    if (at('.')) {
      ++pos_;
      spec.precision = std::max<int64_t>(read_number(format_, pos_), 0);
    }
    RETURN_IF_ERROR(check(spec));
    if (pos_ >= format_.size()) return invalid_argument("a % format is incomplete");
    spec.type = format_[pos_++];
    if (!value) {
      ASSIGN_OR_RETURN(value, take());
    }
    return convert(*value, spec);
  }

  Result<std::string> convert(const Value& value, Spec spec) {
    if (spec.type == 's' || spec.type == 'r') {
      if (spec.align == '=') {
        spec.align = '>';
        spec.fill = " ";
      }
      ASSIGN_OR_RETURN(std::string text, spec.type == 's' ? evaluator_.to_string(value)
                                                          : python_repr(evaluator_, value));
      return format_text(evaluator_, spec, std::move(text));
    }
    if (!value.is_number()) {
      return invalid_argument("%{} needs a number, not '{}'", spec.type,
                              value.is_undefined() ? value.undefined_message() : value.type_name());
    }
    if (is_float_type(spec.type) && spec.type != '%') {
      return format_float(evaluator_, spec, value.as_double());
    }
    if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
    const bool decimal = spec.type == 'd';
    if (!decimal && (value.is(Kind::kFloat) || std::string_view("xXo").find(spec.type) == std::string_view::npos)) {
      return invalid_argument("'%{}' is no format for '{}'", spec.type, value.type_name());
    }
    if (value.is_integral()) return format_integer(evaluator_, spec, value.as_int());
    if (!(std::fabs(value.as_double()) < 9.2e18)) {
      return invalid_argument("a number exceeds 64 bits");
    }
    return format_integer(evaluator_, spec, static_cast<int64_t>(value.as_double()));
  }

  Evaluator& evaluator_;
  std::string_view format_;
  const Value& arguments_;
  std::vector<Value> values_;
  size_t pos_ = 0;
  size_t next_ = 0;
  bool used_names_ = false;
};

class BraceFormatter {
 public:
  BraceFormatter(Evaluator& evaluator, const Arguments& arguments)
      : evaluator_(evaluator), arguments_(arguments) {}

  Result<std::string> run(std::string_view format, int depth) {
    if (depth > 2) return invalid_argument("format() fields nest too deeply");
    std::string out;
    for (size_t pos = 0; pos < format.size(); ++pos) {
      const char c = format[pos];
      if (c != '{' && c != '}') {
        out += c;
      } else if (pos + 1 < format.size() && format[pos + 1] == c) {
        out += c;
        ++pos;
      } else if (c == '}') {
        return invalid_argument("format() found a single '}}'");
      } else {
        ASSIGN_OR_RETURN(const size_t close, matching_brace(format, pos));
        ASSIGN_OR_RETURN(const std::string text,
                         field(format.substr(pos + 1, close - pos - 1), depth));
        RETURN_IF_ERROR(evaluator_.check_memory(out.size() + text.size()));
        out += text;
        pos = close;
      }
    }
    return out;
  }

 private:
  static Result<size_t> matching_brace(std::string_view format, size_t open) {
    int level = 0;
    for (size_t i = open; i < format.size(); ++i) {
      level += format[i] == '{' ? 1 : format[i] == '}' ? -1 : 0;
      if (level == 0) return i;
    }
    return invalid_argument("format() found a single '{{'");
  }

  // name[.attribute][[key]][!r][:spec]
  Result<std::string> field(std::string_view text, int depth) {
    RETURN_IF_ERROR(evaluator_.step());
    size_t end = std::min(text.find_first_of("!:"), text.size());
    ASSIGN_OR_RETURN(Value value, lookup(text.substr(0, end)));
    if (end < text.size() && text[end] == '!') {
      if (end + 1 >= text.size() || (text[end + 1] != 's' && text[end + 1] != 'r')) {
        return invalid_argument("format() knows the conversions !s and !r");
      }
      ASSIGN_OR_RETURN(std::string converted, text[end + 1] == 'r'
                                                  ? python_repr(evaluator_, value)
                                                  : evaluator_.to_string(value));
      value = Value::string(std::move(converted));
      end += 2;
    }
    if (end == text.size()) return format_value(evaluator_, value, "");
    if (text[end] != ':') return invalid_argument("format() expected ':' after a conversion");
    ASSIGN_OR_RETURN(const std::string spec, run(text.substr(end + 1), depth + 1));
    return format_value(evaluator_, value, spec);
  }

  Result<Value> lookup(std::string_view path) {
    const size_t end = std::min(path.find_first_of(".["), path.size());
    ASSIGN_OR_RETURN(Value value, argument(path.substr(0, end)));
    for (size_t pos = end; pos < path.size();) {
      if (path[pos] == '.') {
        const size_t stop = std::min(path.find_first_of(".[", pos + 1), path.size());
        ASSIGN_OR_RETURN(value, evaluator_.get_attribute(value, path.substr(pos + 1, stop - pos - 1)));
        pos = stop;
      } else {
        const size_t stop = path.find(']', pos);
        if (stop == std::string_view::npos) return invalid_argument("format() expected ']'");
        const std::string_view key = path.substr(pos + 1, stop - pos - 1);
        const std::optional<int64_t> index = parse_integer(key, 10);
        ASSIGN_OR_RETURN(value, evaluator_.get_item(value, index ? Value::integer(*index)
                                                                 : Value::string(std::string(key))));
        pos = stop + 1;
      }
    }
    return value;
  }

  Result<Value> argument(std::string_view name) {
    std::optional<int64_t> index = parse_integer(name, 10);
    if (name.empty()) index = next_++;
    if (index) {
      if (*index < 0 || *index >= static_cast<int64_t>(arguments_.positional.size())) {
        return invalid_argument("format() has no argument number {}", *index);
      }
      return arguments_.positional[static_cast<size_t>(*index)];
    }
    RETURN_IF_ERROR(evaluator_.step(static_cast<int64_t>(arguments_.named.size() / 16)));
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    return invalid_argument("format() has no argument named '{}'", name);
  }

  Evaluator& evaluator_;
  const Arguments& arguments_;
  int64_t next_ = 0;
};

}  // namespace

Result<Value> percent_format(Evaluator& evaluator, const Value& format, const Value& arguments) {
  ASSIGN_OR_RETURN(std::string text,
                   PercentFormatter(evaluator, format.as_string(), arguments).run());
  return Value::string(std::move(text), format.string_object().markup);
}

Result<Value> brace_format(Evaluator& evaluator, const Value& format, const Arguments& arguments) {
  ASSIGN_OR_RETURN(std::string text,
                   BraceFormatter(evaluator, arguments).run(format.as_string(), 0));
  return Value::string(std::move(text), format.string_object().markup);
}

}  // namespace lmdeploy::jinja
