// Filters that make text of a value or change text.
#include <algorithm>

#include "base/utf8.h"
#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/html.h"
#include "text/jinja/python_text.h"
#include "text/jinja/repr.h"
#include "text/jinja/string_ops.h"

namespace lmdeploy::jinja {

namespace {

bool is_markup(const Value& value) { return value.is_string() && value.string_object().markup; }

template <std::string (*kChange)(std::string_view)>
Result<Value> change(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(Parameters::bind("filter", arguments, {}).status());
  ASSIGN_OR_RETURN(const std::string text, evaluator.to_string(input));
  RETURN_IF_ERROR(evaluator.reserve(text.size() * 8));
  return Value::string(kChange(text), is_markup(input));
}

// jinja2's own title(): words start after space or one of - ( { [ <.
std::string title_words(std::string_view text) {
  std::string out;
  bool start = true;
  for (size_t pos = 0; pos < text.size();) {
    const size_t begin = pos;
    const char32_t c = utf8_next(text, pos);
    const std::string_view letter = text.substr(begin, pos - begin);
    out += start ? to_upper(letter) : to_lower(letter);
    start = is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  }
  return out;
}

Result<Value> trim(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters, Parameters::bind("trim", arguments, {"chars"}));
  ASSIGN_OR_RETURN(const std::string text, evaluator.to_string(input));
  std::optional<std::string> chars;
  if (parameters.has(0) && !parameters[0].is_none()) {
    ASSIGN_OR_RETURN(chars, parameters.string(0, ""));
  }
  RETURN_IF_ERROR(charge_strip(evaluator, text, chars));
  return Value::string(strip_text(text, chars, true, true), is_markup(input));
}

Result<Value> replace(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("replace", arguments, {"old", "new", "count"}, 2));
  ASSIGN_OR_RETURN(const std::string text, evaluator.to_string(input));
  ASSIGN_OR_RETURN(const std::string from, evaluator.to_string(parameters[0]));
  ASSIGN_OR_RETURN(const std::string to, evaluator.to_string(parameters[1]));
  int64_t count = -1;
  if (parameters.has(2) && !parameters[2].is_none()) {
    ASSIGN_OR_RETURN(count, parameters.integer(2, -1));
  }
  return replace_text(evaluator, text, from, to, count);
}

Result<Value> indent(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("indent", arguments, {"width", "first", "blank"}));
  if (!input.is_string()) {
    return invalid_argument("indent works on strings, not '{}'", input.type_name());
  }
  std::string space;
  if (parameters[0].is_string()) {
    space = parameters[0].as_string();
  } else {
    ASSIGN_OR_RETURN(const int64_t width, parameters.integer(0, 4));
    ASSIGN_OR_RETURN(const Value spaces, pad_text(evaluator, "", " ", std::max<int64_t>(width, 0), 0));
    space = spaces.as_string();
  }
  RETURN_IF_ERROR(evaluator.scan(input.as_string().size()));
  std::string out;
  bool first = true;
  RETURN_IF_ERROR(for_each_line(input.as_string() + "\n", false, [&](std::string_view line) -> Status {
    RETURN_IF_ERROR(evaluator.step(1 + static_cast<int64_t>(space.size() / 256)));
    RETURN_IF_ERROR(evaluator.check_memory(out.size() + space.size() + line.size()));
    if (!first) out += '\n';
    if (first ? parameters.truthy(1) : parameters.truthy(2) || !line.empty()) out += space;
    out += line;
    first = false;
    return {};
  }));
  return Value::string(std::move(out), is_markup(input));
}

Result<Value> center(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters, Parameters::bind("center", arguments, {"width"}));
  ASSIGN_OR_RETURN(const int64_t width, parameters.integer(0, 80));
  ASSIGN_OR_RETURN(const std::string text, evaluator.to_string(input));
  if (width <= code_point_count(text)) return Value::string(text);
  const int64_t missing = width - code_point_count(text);
  const int64_t left = center_left(missing, width);
  return pad_text(evaluator, text, " ", left, missing - left);
}

Result<Value> truncate(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("truncate", arguments, {"length", "killwords", "end", "leeway"}));
  ASSIGN_OR_RETURN(const int64_t length, parameters.integer(0, 255));
  ASSIGN_OR_RETURN(const std::string end, parameters.string(2, "..."));
  int64_t leeway = 5;
  if (parameters.has(3) && !parameters[3].is_none()) {
    ASSIGN_OR_RETURN(leeway, parameters.integer(3, 5));
  }
  if (length < code_point_count(end) || leeway < 0) {
    return invalid_argument("truncate needs a length of at least its end mark, and no negative leeway");
  }
  const int64_t kept = length - code_point_count(end);
  Arguments none;
  ASSIGN_OR_RETURN(const Value size, evaluator.apply_filter("length", input, none));
  if (size.as_int() - leeway <= length) return input;
  if (!input.is_string()) {
    return invalid_argument("truncate shortens strings, not '{}'", input.type_name());
  }
  const std::string& text = input.as_string();
  std::string head = text.substr(0, byte_offset(text, kept));
  if (!parameters.truthy(1)) head = head.substr(0, head.rfind(' '));
  return Value::string(head + end);
}

Result<Value> escape(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(Parameters::bind("escape", arguments, {}).status());
  if (is_markup(input)) return input;
  ASSIGN_OR_RETURN(const std::string text, evaluator.to_string(input));
  RETURN_IF_ERROR(evaluator.reserve(text.size() * 6));
  return Value::string(escape_html(text), true);
}

Result<Value> force_escape(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(Parameters::bind("forceescape", arguments, {}).status());
  ASSIGN_OR_RETURN(const std::string text, evaluator.to_string(input));
  RETURN_IF_ERROR(evaluator.reserve(text.size() * 6));
  return Value::string(escape_html(text), true);
}

Result<Value> safe(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(Parameters::bind("safe", arguments, {}).status());
  ASSIGN_OR_RETURN(std::string text, evaluator.to_string(input));
  return Value::string(std::move(text), true);
}

Result<Value> string(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(Parameters::bind("string", arguments, {}).status());
  if (input.is_string()) return input;
  ASSIGN_OR_RETURN(std::string text, evaluator.to_string(input));
  return Value::string(std::move(text));
}

Result<Value> format(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(std::string text, evaluator.to_string(input));
  if (!arguments.named.empty() && !arguments.positional.empty()) {
    return invalid_argument("format takes positional or named arguments, not both");
  }
  if (arguments.named.empty()) {
    return percent_format(evaluator, Value::string(std::move(text)),
                          Value::tuple(arguments.positional));
  }
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [name, value] : arguments.named) entries.emplace_back(Value::string(name), value);
  return percent_format(evaluator, Value::string(std::move(text)), Value::dict(std::move(entries)));
}

Result<Value> wordcount(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(Parameters::bind("wordcount", arguments, {}).status());
  ASSIGN_OR_RETURN(const std::string text, evaluator.to_string(input));
  RETURN_IF_ERROR(evaluator.scan(text.size()));
  RETURN_IF_ERROR(evaluator.check_memory(text.size() * sizeof(char32_t)));
  int64_t words = 0;
  bool in_word = false;
  for (const char32_t c : code_points(text)) {
    const bool word = is_alphanumeric(c) || c == '_';
    words += word && !in_word ? 1 : 0;
    in_word = word;
  }
  return Value::integer(words);
}

void append_quoted(std::string& out, std::string_view text, bool in_query) {
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '_' || c == '.' || c == '-' || c == '~' || (c == '/' && !in_query);
    if (plain) {
      out += c;
    } else if (c == ' ' && in_query) {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
}

Result<Value> urlencode(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(Parameters::bind("urlencode", arguments, {}).status());
  std::string out;
  if (!input.is_dict() && !input.is_sequence_object()) {
    ASSIGN_OR_RETURN(const std::string text, evaluator.to_string(input));
    RETURN_IF_ERROR(evaluator.reserve(text.size() * 3));
    append_quoted(out, text, false);
    return Value::string(std::move(out));
  }
  std::vector<std::pair<Value, Value>> entries;
  if (input.is_dict()) entries = input.as_dict().entries;
  if (input.is_sequence_object()) {
    ASSIGN_OR_RETURN(const std::vector<Value> pairs, evaluator.iterate(input));
    for (const Value& pair : pairs) {
      ASSIGN_OR_RETURN(const std::vector<Value> parts, evaluator.iterate(pair));
      if (parts.size() != 2) return invalid_argument("urlencode takes pairs of a key and a value");
      entries.emplace_back(parts[0], parts[1]);
    }
  }
  for (const auto& [key, value] : entries) {
    ASSIGN_OR_RETURN(const std::string name, evaluator.to_string(key));
    ASSIGN_OR_RETURN(const std::string text, evaluator.to_string(value));
    RETURN_IF_ERROR(evaluator.check_memory(out.size() + (name.size() + text.size()) * 3));
    RETURN_IF_ERROR(evaluator.scan(name.size() + text.size()));
    if (!out.empty()) out += '&';
    append_quoted(out, name, true);
    out += '=';
    append_quoted(out, text, true);
  }
  return Value::string(std::move(out));
}

// json.dumps(indent=...): a number of spaces or a string; None is one line.
Status read_indent(Evaluator& evaluator, const Value& indent, JsonStyle& style) {
  if (indent.is_none() || indent.is_undefined()) return {};
  style.indented = true;
  style.item_separator = ",";
  if (indent.is_string()) {
    style.indent = indent.as_string();
    return {};
  }
  if (!indent.is_integral()) return invalid_argument("tojson: 'indent' must be an integer");
  ASSIGN_OR_RETURN(const Value spaces,
                   pad_text(evaluator, "", " ", std::max<int64_t>(indent.as_int(), 0), 0));
  style.indent = spaces.as_string();
  return {};
}

Result<Value> tojson(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("tojson", arguments,
                                    {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ensure_ascii = parameters.truthy(0);
  style.sort_keys = parameters.truthy(3);
  RETURN_IF_ERROR(read_indent(evaluator, parameters[1], style));
  if (parameters.has(2) && !parameters[2].is_none()) {
    ASSIGN_OR_RETURN(const std::vector<Value> parts, evaluator.iterate(parameters[2]));
    if (parts.size() != 2 || !parts[0].is_string() || !parts[1].is_string()) {
      return invalid_argument("tojson: 'separators' must be two strings");
    }
    style.item_separator = parts[0].as_string();
    style.key_separator = parts[1].as_string();
  }
  ASSIGN_OR_RETURN(std::string text, to_json(evaluator, input, style));
  return Value::string(std::move(text));
}

Result<Value> striptags(Evaluator& evaluator, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(Parameters::bind("striptags", arguments, {}).status());
  ASSIGN_OR_RETURN(const std::string text, evaluator.to_string(input));
  RETURN_IF_ERROR(evaluator.scan(text.size()));
  return Value::string(strip_tags(text));
}

constexpr FilterEntry kFilters[] = {
    {"tojson", tojson},
    {"trim", trim},
    {"upper", change<to_upper>},
    {"lower", change<to_lower>},
    {"title", change<title_words>},
    {"capitalize", change<capitalize>},
    {"replace", replace},
    {"indent", indent},
    {"string", string},
    {"safe", safe},
    {"escape", escape},
    {"e", escape},
    {"forceescape", force_escape},
    {"striptags", striptags},
    {"center", center},
    {"truncate", truncate},
    {"format", format},
    {"wordcount", wordcount},
    {"urlencode", urlencode},
};

}  // namespace

std::span<const FilterEntry> text_filters() { return kFilters; }

}  // namespace lmdeploy::jinja
