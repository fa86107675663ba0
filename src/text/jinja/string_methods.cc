// Methods of str that look at a string or change its letters; string_split.cc has the others.
#include <algorithm>
#include <span>

#include "base/utf8.h"
#include "text/jinja/format.h"
#include "text/jinja/functions.h"
#include "text/jinja/methods.h"
#include "text/jinja/python_text.h"
#include "text/jinja/string_ops.h"

namespace lmdeploy::jinja {

namespace {

Status no_arguments(const Arguments& arguments) {
  return Parameters::bind("a string method", arguments, {}).status();
}

template <std::string (*kChange)(std::string_view)>
Result<Value> change(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments(arguments));
  RETURN_IF_ERROR(evaluator.reserve(self.as_string().size() * 8));
  return Value::string(kChange(self.as_string()), self.string_object().markup);
}

std::string swap_case(std::string_view text) {
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    const size_t start = pos;
    const char32_t c = utf8_next(text, pos);
    const std::string_view letter = text.substr(start, pos - start);
    out += is_upper(c) ? to_lower(letter) : to_upper(letter);
  }
  return out;
}

// Every code point satisfies the predicate, and there is one.
template <bool (*kIs)(char32_t)>
Result<Value> all_are(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments(arguments));
  RETURN_IF_ERROR(evaluator.scan(self.as_string().size()));
  RETURN_IF_ERROR(evaluator.check_memory(self.as_string().size() * sizeof(char32_t)));
  const std::vector<char32_t> points = code_points(self.as_string());
  return Value::boolean(!points.empty() && std::all_of(points.begin(), points.end(), kIs));
}

// str.isupper() / str.islower(): some cased letter, and none of the other case.
template <bool kUpper>
Result<Value> is_case(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments(arguments));
  RETURN_IF_ERROR(evaluator.scan(self.as_string().size()));
  RETURN_IF_ERROR(evaluator.check_memory(self.as_string().size() * sizeof(char32_t)));
  bool any = false;
  for (const char32_t c : code_points(self.as_string())) {
    if (is_title(c) || (kUpper ? is_lower(c) : is_upper(c))) return Value::boolean(false);
    any = any || (kUpper ? is_upper(c) : is_lower(c));
  }
  return Value::boolean(any);
}

Result<Value> is_title_case(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments(arguments));
  RETURN_IF_ERROR(evaluator.scan(self.as_string().size()));
  RETURN_IF_ERROR(evaluator.check_memory(self.as_string().size() * sizeof(char32_t)));
  bool in_word = false, any = false;
  for (const char32_t c : code_points(self.as_string())) {
    if ((is_upper(c) || is_title(c)) && in_word) return Value::boolean(false);
    if (is_lower(c) && !in_word) return Value::boolean(false);
    in_word = is_upper(c) || is_title(c) || is_lower(c);
    any = any || in_word;
  }
  return Value::boolean(any);
}

Result<Value> is_ascii(Evaluator&, const Value& self, Arguments& arguments) {
  RETURN_IF_ERROR(no_arguments(arguments));
  return Value::boolean(self.string_object().ascii());
}

bool prefix_matches(std::string_view text, std::string_view affix, bool at_end) {
  return at_end ? text.ends_with(affix) : text.starts_with(affix);
}

// The part [start, stop) of the text, in code points, as str.find() and its like take it; nullopt
// when start lies behind the end.
struct Window {
  std::string_view text;
  int64_t start;  // code points before it
};

Result<std::optional<Window>> window(const Value& self, const Parameters& parameters, size_t first) {
  const int64_t length = self.string_object().length;
  const auto bound = [&](size_t i, int64_t fallback) -> Result<int64_t> {
    if (!parameters.has(i) || parameters[i].is_none()) return fallback;
    ASSIGN_OR_RETURN(int64_t index, parameters.integer(i, fallback));
    if (index < 0) index = std::max<int64_t>(index + length, 0);
    return index;
  };
  ASSIGN_OR_RETURN(const int64_t start, bound(first, 0));
  ASSIGN_OR_RETURN(const int64_t stop, bound(first + 1, length));
  if (start > length || start > stop) return std::optional<Window>();
  const std::string_view text = self.as_string();
  const size_t begin = byte_offset(text, start);
  const std::string_view rest = text.substr(begin);
  return std::optional<Window>({rest.substr(0, byte_offset(rest, stop - start)), start});
}

template <bool kAtEnd>
Result<Value> has_affix(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind(kAtEnd ? "endswith" : "startswith", arguments,
                                    {"affix", "start", "end"}, 1));
  const Value& affix = parameters[0];
  const std::span<const Value> choices =
      affix.is(Kind::kTuple) ? std::span<const Value>(affix.items()) : std::span(&affix, 1);
  RETURN_IF_ERROR(evaluator.scan(self.as_string().size()));
  ASSIGN_OR_RETURN(const std::optional<Window> part, window(self, parameters, 1));
  for (const Value& choice : choices) {
    RETURN_IF_ERROR(evaluator.step(choice.weight()));
    if (!choice.is_string()) {
      return invalid_argument("{}() takes a string or a tuple of strings, not '{}'",
                              kAtEnd ? "endswith" : "startswith", choice.type_name());
    }
    if (part && prefix_matches(part->text, choice.as_string(), kAtEnd)) return Value::boolean(true);
  }
  return Value::boolean(false);
}

struct Search {
  std::string_view name;
  bool backwards;
  bool must_find;
};

Result<Value> search(Evaluator& evaluator, const Value& self, Arguments& arguments,
                     const Search& how) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind(how.name, arguments, {"sub", "start", "end"}, 1));
  ASSIGN_OR_RETURN(const std::string sub, parameters.string(0, ""));
  RETURN_IF_ERROR(charge_search(evaluator, self.as_string(), sub));
  ASSIGN_OR_RETURN(const std::optional<Window> part, window(self, parameters, 1));
  using Direction = TextSearch::Direction;
  size_t at = TextSearch::kNone;
  if (part && sub.empty()) {
    at = how.backwards ? part->text.size() : 0;
  } else if (part) {
    at = TextSearch(part->text, sub, how.backwards ? Direction::kBackward : Direction::kForward)
             .next();
  }
  if (at != TextSearch::kNone) {
    return Value::integer(part->start + code_point_count(part->text.substr(0, at)));
  }
  if (how.must_find) return invalid_argument("{}(): substring not found", how.name);
  return Value::integer(-1);
}

Result<Value> find(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  return search(evaluator, self, arguments, {"find", false, false});
}
Result<Value> rfind(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  return search(evaluator, self, arguments, {"rfind", true, false});
}
Result<Value> index(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  return search(evaluator, self, arguments, {"index", false, true});
}
Result<Value> rindex(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  return search(evaluator, self, arguments, {"rindex", true, true});
}

Result<Value> count(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("count", arguments, {"sub", "start", "end"}, 1));
  ASSIGN_OR_RETURN(const std::string sub, parameters.string(0, ""));
  RETURN_IF_ERROR(charge_search(evaluator, self.as_string(), sub));
  ASSIGN_OR_RETURN(const std::optional<Window> part, window(self, parameters, 1));
  if (!part) return Value::integer(0);
  if (sub.empty()) return Value::integer(code_point_count(part->text) + 1);
  int64_t found = 0;
  for (TextSearch search(part->text, sub); search.next() != TextSearch::kNone;) ++found;
  return Value::integer(found);
}

Result<Value> format(Evaluator& evaluator, const Value& self, Arguments& arguments) {
  return brace_format(evaluator, self, arguments);
}

Result<Value> unavailable(Evaluator&, const Value&, Arguments&) {
  return invalid_argument("this string method is not available in a chat template");
}

bool is_decimal_digit(char32_t c) { return is_decimal(c); }

constexpr std::pair<std::string_view, Method> kMethods[] = {
    {"upper", change<to_upper>},
    {"lower", change<to_lower>},
    {"casefold", change<to_lower>},
    {"title", change<title_case>},
    {"capitalize", change<capitalize>},
    {"swapcase", change<swap_case>},
    {"isupper", is_case<true>},
    {"islower", is_case<false>},
    {"istitle", is_title_case},
    {"isspace", all_are<is_space>},
    {"isalpha", all_are<is_letter>},
    {"isalnum", all_are<is_alphanumeric>},
    {"isdigit", all_are<is_decimal_digit>},
    {"isdecimal", all_are<is_decimal_digit>},
    {"isnumeric", all_are<is_decimal_digit>},
    {"isascii", is_ascii},
    {"startswith", has_affix<false>},
    {"endswith", has_affix<true>},
    {"find", find},
    {"rfind", rfind},
    {"index", index},
    {"rindex", rindex},
    {"count", count},
    {"format", format},
    {"encode", unavailable},
    {"maketrans", unavailable},
    {"translate", unavailable},
    {"format_map", unavailable},
};

}  // namespace

std::optional<Method> find_string_method(std::string_view name) {
  const auto found = std::find_if(std::begin(kMethods), std::end(kMethods),
                                  [&](const auto& entry) { return entry.first == name; });
  if (found != std::end(kMethods)) return found->second;
  return find_split_method(name);
}

}  // namespace lmdeploy::jinja
