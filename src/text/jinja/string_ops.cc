#include "text/jinja/string_ops.h"

#include <algorithm>
#include <limits>

#include "base/utf8.h"
#include "text/jinja/python_text.h"

namespace lmdeploy::jinja {

std::string strip_text(std::string_view text, const std::optional<std::string>& chars, bool left,
                       bool right) {
  if (!chars) {
    if (left) text.remove_prefix(leading_space(text));
    if (right) text.remove_suffix(trailing_space(text));
    return std::string(text);
  }
  const std::vector<char32_t> strip = code_points(*chars);
  const std::vector<char32_t> points = code_points(text);
  const auto stripped = [&](char32_t c) {
    return std::find(strip.begin(), strip.end(), c) != strip.end();
  };
  auto begin = points.begin(), end = points.end();
  while (left && begin != end && stripped(*begin)) ++begin;
  while (right && begin != end && stripped(*(end - 1))) --end;
  return from_code_points(std::vector<char32_t>(begin, end));
}

Result<Value> join_text(Evaluator& evaluator, std::string_view separator,
                        const std::vector<Value>& items) {
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    ASSIGN_OR_RETURN(const std::string text, evaluator.to_string(items[i]));
    RETURN_IF_ERROR(evaluator.check_memory(out.size() + separator.size() + text.size()));
    RETURN_IF_ERROR(evaluator.step(static_cast<int64_t>(separator.size() / 256)));
    if (i > 0) out += separator;
    out += text;
  }
  return Value::string(std::move(out));
}

Result<Value> replace_text(Evaluator& evaluator, std::string_view text, std::string_view from,
                           std::string_view to, int64_t count) {
  if (count < 0) count = std::numeric_limits<int64_t>::max();
  RETURN_IF_ERROR(evaluator.step(static_cast<int64_t>(text.size() / 64)));
  std::string out;
  size_t pos = 0;
  const auto add = [&]() -> Status {
    RETURN_IF_ERROR(evaluator.check_memory(out.size() + to.size() + text.size()));
    RETURN_IF_ERROR(evaluator.step(static_cast<int64_t>(to.size() / 256)));
    out += to;
    --count;
    return {};
  };
  if (from.empty()) {
    while (count > 0) {
      RETURN_IF_ERROR(add());
      if (pos >= text.size()) break;
      const size_t start = pos;
      utf8_next(text, pos);
      out += text.substr(start, pos - start);
    }
  } else {
    for (size_t at = text.find(from); at != std::string_view::npos && count > 0;
         at = text.find(from, pos)) {
      out += text.substr(pos, at - pos);
      RETURN_IF_ERROR(add());
      pos = at + from.size();
    }
  }
  out += text.substr(pos);
  return Value::string(std::move(out));
}

Result<Value> pad_text(Evaluator& evaluator, std::string_view text, std::string_view fill,
                       int64_t left, int64_t right) {
  const auto total = static_cast<size_t>(left) + static_cast<size_t>(right);
  if (total > std::numeric_limits<size_t>::max() / 8) {
    return invalid_argument("a width of {} is too large", total);
  }
  RETURN_IF_ERROR(evaluator.reserve(total * fill.size() + text.size()));
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (int64_t i = 0; i < right; ++i) out += fill;
  return Value::string(std::move(out));
}

int64_t center_left(int64_t missing, int64_t width) { return missing / 2 + (missing & width & 1); }

}  // namespace lmdeploy::jinja
