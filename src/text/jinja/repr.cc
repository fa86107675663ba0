#include "text/jinja/repr.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/utf8.h"
#include "text/jinja/compare.h"
#include "text/jinja/python_text.h"

namespace lmdeploy::jinja {

namespace {

constexpr int kMaxReprDepth = 200;  // namespaces can hold themselves

class ReprWriter {
 public:
  ReprWriter(Evaluator& evaluator, std::string& out) : evaluator_(evaluator), out_(out) {}

  Status write(const Value& value, int depth) {
    RETURN_IF_ERROR(evaluator_.step());
    if (depth > kMaxReprDepth) {
      return invalid_argument("a printed value nests deeper than {} levels", kMaxReprDepth);
    }
    RETURN_IF_ERROR(evaluator_.check_memory(out_.size()));
    switch (value.kind()) {
      case Kind::kUndefined: out_ += "Undefined"; return {};
      case Kind::kNone: out_ += "None"; return {};
      case Kind::kBool: out_ += value.as_bool() ? "True" : "False"; return {};
      case Kind::kInt: out_ += std::to_string(value.as_int()); return {};
      case Kind::kFloat: out_ += python_repr(value.as_double()); return {};
      case Kind::kString: return write_string(value.string_object());
      case Kind::kList: return write_items(value.items(), "[", "]", depth);
      case Kind::kTuple:
        return write_items(value.items(), "(", value.items().size() == 1 ? ",)" : ")", depth);
      case Kind::kRange: out_ += value.sequence_object().label; return {};
      case Kind::kView: return write_items(value.items(), value.type_name() + "([", "])", depth);
      case Kind::kIterator: out_ += "<generator object>"; return {};
      case Kind::kDict: return write_dict(value.as_dict(), depth);
      case Kind::kOpaque: return write_opaque(value, depth);
    }
    return {};
  }

 private:
  Status write_string(const StringObject& text) {
    RETURN_IF_ERROR(evaluator_.reserve(text.text.size() * 4));  // "\x00"
    out_ += text.markup ? "Markup(" + python_repr(text.text) + ")" : python_repr(text.text);
    return {};
  }

  Status write_items(const std::vector<Value>& items, std::string_view open, std::string_view close,
                     int depth) {
    out_ += open;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += ", ";
      RETURN_IF_ERROR(write(items[i], depth + 1));
    }
    out_ += close;
    return {};
  }

  Status write_dict(const DictObject& dict, int depth) {
    out_ += '{';
    for (size_t i = 0; i < dict.entries.size(); ++i) {
      if (i > 0) out_ += ", ";
      RETURN_IF_ERROR(write(dict.entries[i].first, depth + 1));
      out_ += ": ";
      RETURN_IF_ERROR(write(dict.entries[i].second, depth + 1));
    }
    out_ += '}';
    return {};
  }

  Status write_opaque(const Value& value, int depth) {
    const auto* space = value.as<NamespaceObject>();
    if (space == nullptr) {
      out_ += value.as_opaque()->repr();
      return {};
    }
    out_ += "<Namespace {";
    for (size_t i = 0; i < space->attributes.size(); ++i) {
      if (i > 0) out_ += ", ";
      out_ += python_repr(space->attributes[i].first) + ": ";
      RETURN_IF_ERROR(write(space->attributes[i].second, depth + 1));
    }
    out_ += "}>";
    return {};
  }

  Evaluator& evaluator_;
  std::string& out_;
};

class JsonWriter {
 public:
  JsonWriter(Evaluator& evaluator, const JsonStyle& style, std::string& out)
      : evaluator_(evaluator), style_(style), out_(out) {}

  Status write(const Value& value, size_t level) {
    RETURN_IF_ERROR(evaluator_.step());
    RETURN_IF_ERROR(evaluator_.check_memory(out_.size()));
    switch (value.kind()) {
      case Kind::kNone: out_ += "null"; return {};
      case Kind::kBool: out_ += value.as_bool() ? "true" : "false"; return {};
      case Kind::kInt: out_ += std::to_string(value.as_int()); return {};
      case Kind::kFloat: out_ += number(value.as_double()); return {};
      case Kind::kString: return write_string(value.as_string());
      case Kind::kList:
      case Kind::kTuple: return write_array(value.items(), level);
      case Kind::kDict: return write_object(value.as_dict(), level);
      default:
        return invalid_argument("tojson cannot write a value of type '{}'{}", value.type_name(),
                                value.is_undefined() ? ": " + value.undefined_message() : "");
    }
  }

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return python_repr(value);
  }

  Status write_string(std::string_view text) {
    RETURN_IF_ERROR(evaluator_.reserve(text.size() * 6));  // "\u0000"
    out_ += '"';
    for (size_t pos = 0; pos < text.size();) {
      const size_t start = pos;
      const char32_t c = utf8_next(text, pos);
      switch (c) {
        case '"': out_ += "\\\""; break;
        case '\\': out_ += "\\\\"; break;
        case '\n': out_ += "\\n"; break;
        case '\r': out_ += "\\r"; break;
        case '\t': out_ += "\\t"; break;
        case '\b': out_ += "\\b"; break;
        case '\f': out_ += "\\f"; break;
        default:
          if (c < 0x20 || (style_.ensure_ascii && c > 0x7E)) {
            write_escape(c);
          } else {
            out_ += text.substr(start, pos - start);
          }
      }
    }
    out_ += '"';
    return {};
  }

  void write_escape(char32_t c) {
    if (c == 0x7F) {
      out_ += '\x7F';
    } else if (c >= 0x10000) {
      out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((uint32_t{c} - 0x10000) >> 10),
                          0xDC00 + ((uint32_t{c} - 0x10000) & 0x3FF));
    } else {
      out_ += fmt::format("\\u{:04x}", uint32_t{c});
    }
  }

  Status line(size_t level) {
    if (!style_.indented) return {};
    RETURN_IF_ERROR(evaluator_.reserve(level * style_.indent.size()));
    out_ += '\n';
    for (size_t i = 0; i < level; ++i) out_ += style_.indent;
    return {};
  }

  Status write_array(const std::vector<Value>& items, size_t level) {
    if (items.empty()) {
      out_ += "[]";
      return {};
    }
    out_ += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      RETURN_IF_ERROR(line(level + 1));
      RETURN_IF_ERROR(write(items[i], level + 1));
    }
    RETURN_IF_ERROR(line(level));
    out_ += ']';
    return {};
  }

  Status write_object(const DictObject& dict, size_t level) {
    if (dict.entries.empty()) {
      out_ += "{}";
      return {};
    }
    std::vector<std::pair<Value, Value>> entries = dict.entries;
    if (style_.sort_keys) RETURN_IF_ERROR(sort(entries));
    out_ += '{';
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      RETURN_IF_ERROR(line(level + 1));
      RETURN_IF_ERROR(write_key(entries[i].first));
      out_ += style_.key_separator;
      RETURN_IF_ERROR(write(entries[i].second, level + 1));
    }
    RETURN_IF_ERROR(line(level));
    out_ += '}';
    return {};
  }

  Status sort(std::vector<std::pair<Value, Value>>& entries) {
    size_t bytes = 0;
    for (const auto& [key, value] : entries) bytes += key.is_string() ? key.as_string().size() : 1;
    RETURN_IF_ERROR(evaluator_.scan(bytes * static_cast<size_t>(std::bit_width(entries.size()))));
    const bool strings = std::all_of(entries.begin(), entries.end(),
                                     [](const auto& entry) { return entry.first.is_string(); });
    const bool numbers = std::all_of(entries.begin(), entries.end(),
                                     [](const auto& entry) { return entry.first.is_number(); });
    if (!strings && !numbers && entries.size() > 1) {
      return invalid_argument("tojson(sort_keys=true) needs keys of one type");
    }
    std::stable_sort(entries.begin(), entries.end(), [&](const auto& a, const auto& b) {
      return strings ? a.first.as_string() < b.first.as_string()
                     : a.first.as_double() < b.first.as_double();
    });
    return {};
  }

  Status write_key(const Value& key) {
    switch (key.kind()) {
      case Kind::kString: return write_string(key.as_string());
      case Kind::kNone: return write_string("null");
      case Kind::kBool: return write_string(key.as_bool() ? "true" : "false");
      case Kind::kInt: return write_string(std::to_string(key.as_int()));
      case Kind::kFloat: return write_string(number(key.as_double()));
      default: return invalid_argument("tojson cannot write a key of type '{}'", key.type_name());
    }
  }

  Evaluator& evaluator_;
  const JsonStyle& style_;
  std::string& out_;
};

}  // namespace

Result<std::string> python_repr(Evaluator& evaluator, const Value& value) {
  std::string out;
  RETURN_IF_ERROR(ReprWriter(evaluator, out).write(value, 0));
  return out;
}

Result<std::string> python_str(Evaluator& evaluator, const Value& value) {
  if (value.is_string()) return value.as_string();
  if (value.is_undefined()) return std::string();
  return python_repr(evaluator, value);
}

Result<std::string> to_json(Evaluator& evaluator, const Value& value, const JsonStyle& style) {
  std::string out;
  RETURN_IF_ERROR(JsonWriter(evaluator, style, out).write(value, 0));
  return out;
}

}  // namespace lmdeploy::jinja
