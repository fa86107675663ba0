// JSON: bounded parsing of untrusted bytes and typed access with errors that name the path.
// Values are boost::json; only base/json.cc and code that walks values sees more than this header.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace lmdeploy {

namespace json = boost::json;

struct JsonLimits {
  size_t max_depth = 64;
  size_t max_bytes = size_t{64} << 20;
};

// Parses one JSON text. Invalid UTF-8, trailing garbage, too deep, too long: kInvalidArgument with
// the byte offset. `what` names the source in the error ("request body", a path).
Result<json::value> parse_json(std::string_view text, std::string_view what, JsonLimits limits = {});

// Reads and parses a file.
Result<json::value> read_json_file(const std::string& path, JsonLimits limits = {});

// Members of an object by key: nullptr when absent or null.
const json::value* find(const json::object& object, std::string_view key);

// What find() found as text (empty) or as an object (nullptr), where it is nothing or something else.
std::string_view text_of(const json::value* value);
const json::object* object_of(const json::value* value);

// Typed members. Absent or null gives nullopt; a wrong type is kInvalidArgument:
// "'max_tokens' is \"ten\"; expected an integer".
Result<std::optional<int64_t>> get_int(const json::object& object, std::string_view key);
Result<std::optional<double>> get_double(const json::object& object, std::string_view key);
Result<std::optional<bool>> get_bool(const json::object& object, std::string_view key);
Result<std::optional<std::string>> get_string(const json::object& object, std::string_view key);

// Appends `text` to `out` as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);

// One line of JSON.
std::string to_json_text(const json::value& value);

}  // namespace lmdeploy
