#include "text/jinja/string_ops.h"

#include <algorithm>
#include <limits>

#include "base/utf8.h"
#include "text/jinja/python_text.h"

namespace lmdeploy::jinja {

Status charge_search(Evaluator& evaluator, std::string_view text, std::string_view wanted) {
  RETURN_IF_ERROR(evaluator.scan(text.size() + wanted.size()));
  return evaluator.check_memory(4 * std::min(text.size(), wanted.size()));
}

Status PieceList::add(std::string_view text) {
  RETURN_IF_ERROR(evaluator_.step(1 + static_cast<int64_t>(text.size() / 256)));
  bytes_ += text.size() + kSmallStringBytes;
  RETURN_IF_ERROR(evaluator_.check_memory(bytes_));
  pieces_.push_back(Value::string(std::string(text)));
  return {};
}

std::vector<Value> PieceList::take(bool reversed) {
  if (reversed) std::reverse(pieces_.begin(), pieces_.end());
  return std::move(pieces_);
}

std::string strip_text(std::string_view text, const std::optional<std::string>& chars, bool left,
                       bool right) {
  if (!chars) {
    if (left) text.remove_prefix(leading_space(text));
    if (right) text.remove_suffix(trailing_space(text));
    return std::string(text);
  }
  std::vector<char32_t> strip = code_points(*chars);
  std::sort(strip.begin(), strip.end());
  const auto stripped = [&](std::string_view character) {
    size_t pos = 0;
    return std::binary_search(strip.begin(), strip.end(), utf8_next(character, pos));
  };
  while (left && !text.empty()) {
    const size_t length = byte_offset(text, 1);
    if (!stripped(text.substr(0, length))) break;
    text.remove_prefix(length);
  }
  while (right && !text.empty()) {
    const size_t start = last_character(text);
    if (!stripped(text.substr(start))) break;
    text.remove_suffix(text.size() - start);
  }
  return std::string(text);
}

Status charge_strip(Evaluator& evaluator, std::string_view text,
                    const std::optional<std::string>& chars) {
  RETURN_IF_ERROR(evaluator.scan(text.size()));
  return chars ? evaluator.reserve(chars->size() * sizeof(char32_t) * 8) : Status();
}

Result<Value> join_text(Evaluator& evaluator, std::string_view separator,
                        const std::vector<Value>& items) {
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    ASSIGN_OR_RETURN(const std::string text, evaluator.to_string(items[i]));
    RETURN_IF_ERROR(evaluator.check_memory(out.size() + separator.size() + text.size()));
    RETURN_IF_ERROR(evaluator.step(1 + static_cast<int64_t>(separator.size() / 256)));
    if (i > 0) out += separator;
    out += text;
  }
  return Value::string(std::move(out));
}

Result<Value> replace_text(Evaluator& evaluator, std::string_view text, std::string_view from,
                           std::string_view to, int64_t count) {
  if (count < 0) count = std::numeric_limits<int64_t>::max();
  RETURN_IF_ERROR(evaluator.scan(text.size()));
  std::string out;
  size_t pos = 0;
  const auto add = [&]() -> Status {
    RETURN_IF_ERROR(evaluator.check_memory(out.size() + to.size() + text.size()));
    RETURN_IF_ERROR(evaluator.step(1 + static_cast<int64_t>(to.size() / 256)));
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
    RETURN_IF_ERROR(charge_search(evaluator, text, from));
    TextSearch search(text, from);
    for (size_t at; count > 0 && (at = search.next()) != TextSearch::kNone;) {
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
