#include "base/json.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/src.hpp>
#include <cmath>
#include <fstream>
#include <sstream>

#include "base/utf8.h"

namespace lmdeploy {

namespace {

std::string shown(const json::value& value) {
  std::string text = json::serialize(value);
  if (text.size() > 40) text = text.substr(0, utf8_prefix(text, 37)) + "...";
  return text;
}

Status wrong_type(std::string_view key, const json::value& value, const char* expected) {
  return invalid_argument("'{}' is {}; expected {}", key, shown(value), expected);
}

}  // namespace

Result<json::value> parse_json(std::string_view text, std::string_view what, JsonLimits limits) {
  if (text.size() > limits.max_bytes) {
    return invalid_argument("{} has {} bytes; at most {} are accepted", what, text.size(),
                            limits.max_bytes);
  }
  json::parse_options options;
  options.max_depth = limits.max_depth;
  json::stream_parser parser({}, options);
  boost::system::error_code error;
  // A document nested too deeply or without memory throws from inside the value stack.
  try {
    const size_t consumed = parser.write_some(text.data(), text.size(), error);
    if (!error) parser.finish(error);
    if (error) {
      return invalid_argument("{} is not valid JSON at byte {}: {}", what, consumed, error.message());
    }
    if (consumed != text.size()) {
      return invalid_argument("{} has text after the JSON value, at byte {}", what, consumed);
    }
    return parser.release();
  } catch (const std::exception& exception) {
    return invalid_argument("{} is not valid JSON: {}", what, exception.what());
  }
}

Result<json::value> read_json_file(const std::string& path, JsonLimits limits) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return not_found("{} cannot be read", path);
  std::ostringstream text;
  text << file.rdbuf();
  return parse_json(text.str(), path, limits);
}

const json::value* find(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string_view text_of(const json::value* value) {
  const json::string* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string_view() : std::string_view(text->data(), text->size());
}

const json::object* object_of(const json::value* value) {
  return value == nullptr ? nullptr : value->if_object();
}

Result<std::optional<int64_t>> get_int(const json::object& object, std::string_view key) {
  const json::value* value = find(object, key);
  if (value == nullptr) return std::optional<int64_t>();
  if (const int64_t* number = value->if_int64()) return std::optional<int64_t>(*number);
  if (const double* number = value->if_double();
      number != nullptr && std::floor(*number) == *number && std::fabs(*number) < 9e15) {
    return std::optional<int64_t>(static_cast<int64_t>(*number));
  }
  return wrong_type(key, *value, "an integer");
}

Result<std::optional<double>> get_double(const json::object& object, std::string_view key) {
  const json::value* value = find(object, key);
  if (value == nullptr) return std::optional<double>();
  if (!value->is_number()) return wrong_type(key, *value, "a number");
  return std::optional<double>(value->to_number<double>());
}

Result<std::optional<bool>> get_bool(const json::object& object, std::string_view key) {
  const json::value* value = find(object, key);
  if (value == nullptr) return std::optional<bool>();
  if (const bool* flag = value->if_bool()) return std::optional<bool>(*flag);
  return wrong_type(key, *value, "true or false");
}

Result<std::optional<std::string>> get_string(const json::object& object, std::string_view key) {
  const json::value* value = find(object, key);
  if (value == nullptr) return std::optional<std::string>();
  if (const json::string* text = value->if_string()) {
    return std::optional<std::string>(std::string(text->data(), text->size()));
  }
  return wrong_type(key, *value, "a string");
}

void append_json_string(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (size_t i = 0; i < text.size();) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (c >= 0x80) {
      const size_t length = utf8_sequence_length(text.substr(i));
      if (length == 0) {
        out += "\xEF\xBF\xBD";
        ++i;
      } else {
        out.append(text, i, length);
        i += length;
      }
      continue;
    }
    ++i;
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (c < 0x20) {
          out += "\\u00";
          out += kHex[c >> 4];
          out += kHex[c & 15];
        } else {
          out += static_cast<char>(c);
        }
    }
  }
  out += '"';
}

std::string to_json_text(const json::value& value) { return json::serialize(value); }

}  // namespace lmdeploy
