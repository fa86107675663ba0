// Methods of str that take a string apart, join, trim, pad or replace.
#include <algorithm>

#include "base/utf8.h"
#include "text/jinja/functions.h"
#include "text/jinja/methods.h"
#include "text/jinja/python_text.h"
#include "text/jinja/string_ops.h"

namespace lmdeploy::jinja {

namespace {

Value piece(std::string_view text) { return Value::string(std::string(text)); }

// Words between white space. At most `limit` cuts; negative: any number.
Status split_space(std::string_view text, int64_t limit, bool from_right, PieceList& pieces) {
  const auto trim = [](std::string_view& part, bool right) {
    if (right) {
      part.remove_suffix(trailing_space(part));
    } else {
      part.remove_prefix(leading_space(part));
    }
  };
  trim(text, from_right);
  while (!text.empty()) {
    if (limit-- == 0) return pieces.add(text);
    const size_t length = from_right ? trailing_word(text) : leading_word(text);
    RETURN_IF_ERROR(pieces.add(text.substr(from_right ? text.size() - length : 0, length)));
    from_right ? text.remove_suffix(length) : text.remove_prefix(length);
    trim(text, from_right);
  }
  return {};
}

Status split_at(std::string_view text, std::string_view separator, int64_t limit, bool from_right,
                PieceList& pieces) {
  using Direction = TextSearch::Direction;
  TextSearch search(text, separator, from_right ? Direction::kBackward : Direction::kForward);
  size_t begin = 0, end = text.size();  // of what is not given away yet
  for (size_t at; limit != 0 && (at = search.next()) != TextSearch::kNone; --limit) {
    const size_t after = at + separator.size();
    RETURN_IF_ERROR(pieces.add(from_right ? text.substr(after, end - after)
                                          : text.substr(begin, at - begin)));
    (from_right ? end : begin) = from_right ? at : after;
  }
  return pieces.add(text.substr(begin, end - begin));
}

template <bool kFromRight>
Result<Value> split(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("split", arguments, {"sep", "maxsplit"}));
  ASSIGN_OR_RETURN(const int64_t limit, parameters.integer(1, -1));
  const std::string& text = self.as_string();
  PieceList pieces(evaluator);
  if (!parameters.has(0) || parameters[0].is_none()) {
    RETURN_IF_ERROR(evaluator.scan(text.size()));
    RETURN_IF_ERROR(split_space(text, limit, kFromRight, pieces));
  } else {
    ASSIGN_OR_RETURN(const std::string separator, parameters.string(0, ""));
    if (separator.empty()) return invalid_argument("split() with an empty separator");
    RETURN_IF_ERROR(charge_search(evaluator, text, separator));
    RETURN_IF_ERROR(split_at(text, separator, limit, kFromRight, pieces));
  }
  return Value::list(pieces.take(kFromRight));
}

Result<Value> splitlines(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("splitlines", arguments, {"keepends"}));
  RETURN_IF_ERROR(evaluator.scan(self.as_string().size()));
  PieceList pieces(evaluator);
  RETURN_IF_ERROR(for_each_line(self.as_string(), parameters.truthy(0),
                                [&](std::string_view line) { return pieces.add(line); }));
  return Value::list(pieces.take(false));
}

template <bool kFromRight>
Result<Value> partition(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("partition", arguments, {"sep"}, 1));
  ASSIGN_OR_RETURN(const std::string separator, parameters.string(0, ""));
  if (separator.empty()) return invalid_argument("partition() with an empty separator");
  const std::string_view text = self.as_string();
  RETURN_IF_ERROR(charge_search(evaluator, text, separator));
  using Direction = TextSearch::Direction;
  const size_t at =
      TextSearch(text, separator, kFromRight ? Direction::kBackward : Direction::kForward).next();
  if (at == TextSearch::kNone) {
    return kFromRight ? Value::tuple({piece(""), piece(""), self})
                      : Value::tuple({self, piece(""), piece("")});
  }
  return Value::tuple({piece(text.substr(0, at)), piece(separator),
                       piece(text.substr(at + separator.size()))});
}

template <bool kLeft, bool kRight>
Result<Value> strip(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters, Parameters::bind("strip", arguments, {"chars"}));
  std::optional<std::string> chars;
  if (parameters.has(0) && !parameters[0].is_none()) {
    ASSIGN_OR_RETURN(chars, parameters.string(0, ""));
  }
  RETURN_IF_ERROR(charge_strip(evaluator, self.as_string(), chars));
  return Value::string(strip_text(self.as_string(), chars, kLeft, kRight),
                       self.string_object().markup);
}

template <bool kSuffix>
Result<Value> remove_affix(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("removeprefix", arguments, {"affix"}, 1));
  ASSIGN_OR_RETURN(const std::string affix, parameters.string(0, ""));
  std::string_view text = self.as_string();
  RETURN_IF_ERROR(evaluator.reserve(text.size()));
  if (kSuffix && text.ends_with(affix)) text.remove_suffix(affix.size());
  if (!kSuffix && text.starts_with(affix)) text.remove_prefix(affix.size());
  return piece(text);
}

Result<Value> join(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters, Parameters::bind("join", arguments, {"items"}, 1));
  ASSIGN_OR_RETURN(const std::vector<Value> items, evaluator.iterate(parameters[0]));
  for (const Value& item : items) {
    if (!item.is_string()) {
      return invalid_argument("join() takes strings, not '{}'", item.type_name());
    }
  }
  return join_text(evaluator, self.as_string(), items);
}

Result<Value> replace(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("replace", arguments, {"old", "new", "count"}, 2));
  ASSIGN_OR_RETURN(const std::string from, parameters.string(0, ""));
  ASSIGN_OR_RETURN(const std::string to, parameters.string(1, ""));
  ASSIGN_OR_RETURN(const int64_t count, parameters.integer(2, -1));
  return replace_text(evaluator, self.as_string(), from, to, count);
}

enum class Side { kLeft, kRight, kBoth };

template <Side kSide>
Result<Value> justify(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("justify", arguments, {"width", "fillchar"}, 1));
  ASSIGN_OR_RETURN(const int64_t width, parameters.integer(0, 0));
  ASSIGN_OR_RETURN(const std::string fill, parameters.string(1, " "));
  if (code_point_count(fill) != 1) {
    return invalid_argument("the fill character must be exactly one character long");
  }
  if (width <= self.string_object().length) return self;
  const int64_t missing = width - self.string_object().length;
  const int64_t left = kSide == Side::kLeft    ? 0
                       : kSide == Side::kRight ? missing
                                               : center_left(missing, width);
  return pad_text(evaluator, self.as_string(), fill, left, missing - left);
}

Result<Value> zfill(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters, Parameters::bind("zfill", arguments, {"width"}, 1));
  ASSIGN_OR_RETURN(const int64_t width, parameters.integer(0, 0));
  if (width <= self.string_object().length) return self;
  const int64_t missing = width - self.string_object().length;
  const std::string& text = self.as_string();
  const bool sign = text.starts_with('-') || text.starts_with('+');
  ASSIGN_OR_RETURN(const Value padded, pad_text(evaluator, text.substr(sign ? 1 : 0), "0", missing, 0));
  return Value::string((sign ? text.substr(0, 1) : "") + padded.as_string());
}

Result<Value> expandtabs(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("expandtabs", arguments, {"tabsize"}));
  ASSIGN_OR_RETURN(const int64_t size, parameters.integer(0, 8));
  std::string out;
  int64_t column = 0;
  const std::string& text = self.as_string();
  RETURN_IF_ERROR(evaluator.scan(text.size()));
  for (size_t pos = 0; pos < text.size();) {
    const size_t start = pos;
    const char32_t c = utf8_next(text, pos);
    if (c == '\t') {
      const int64_t spaces = size > 0 ? size - column % size : 0;
      RETURN_IF_ERROR(evaluator.check_memory(static_cast<size_t>(spaces) + out.size()));
      RETURN_IF_ERROR(evaluator.step(1 + spaces / 256));
      out.append(static_cast<size_t>(spaces), ' ');
      column += spaces;
      continue;
    }
    out.append(text, start, pos - start);
    column = c == '\n' || c == '\r' ? 0 : column + 1;
  }
  return Value::string(std::move(out));
}

constexpr std::pair<std::string_view, Method> kMethods[] = {
    {"split", split<false>},
    {"rsplit", split<true>},
    {"splitlines", splitlines},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
    {"strip", strip<true, true>},
    {"lstrip", strip<true, false>},
    {"rstrip", strip<false, true>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"join", join},
    {"replace", replace},
    {"ljust", justify<Side::kLeft>},
    {"rjust", justify<Side::kRight>},
    {"center", justify<Side::kBoth>},
    {"zfill", zfill},
    {"expandtabs", expandtabs},
};

}  // namespace

std::optional<Method> find_split_method(std::string_view name) {
  const auto found = std::find_if(std::begin(kMethods), std::end(kMethods),
                                  [&](const auto& entry) { return entry.first == name; });
  return found == std::end(kMethods) ? std::nullopt : std::optional<Method>(found->second);
}

}  // namespace lmdeploy::jinja
