#include "serve/field_reader.h"

#include <fmt/format.h>

#include <cmath>

#include "base/utf8.h"

namespace lmdeploy {

namespace {

std::string shown(const json::value& value) {
  std::string text = to_json_text(value);
  if (text.size() > 40) text = text.substr(0, utf8_prefix(text, 37)) + "...";
  return text;
}

// A whole number that int64 holds, also when it was written as 1.0.
std::optional<int64_t> whole(const json::value& value) {
  if (const int64_t* number = value.if_int64()) return *number;
  if (const double* number = value.if_double();
      number != nullptr && std::floor(*number) == *number && std::fabs(*number) < 9e15) {
    return static_cast<int64_t>(*number);
  }
  return std::nullopt;
}

bool is_empty(const json::value& value) {
  if (const bool* flag = value.if_bool()) return !*flag;
  if (value.is_number()) return value.to_number<double>() == 0;
  if (const auto* text = value.if_string()) return text->empty();
  if (const auto* list = value.if_array()) return list->empty();
  return value.get_object().empty();
}

}  // namespace

void FieldReader::fail(std::string_view name, std::string message, std::string code) {
  if (!error_) error_ = ApiError{400, std::move(message), std::string(name), std::move(code)};
}

void FieldReader::fail_type(std::string_view name, const json::value& value,
                            std::string_view expected) {
  fail(name, fmt::format("'{}' is {}; expected {}", name, shown(value), expected));
}

const json::value* FieldReader::value(std::string_view name) {
  known_.insert(name);
  return error_ ? nullptr : find(object_, name);
}

bool FieldReader::is_null(std::string_view name) const {
  const json::value* given = object_.if_contains(name);
  return given != nullptr && given->is_null();
}

std::optional<int64_t> FieldReader::integer(std::string_view name, int64_t least, int64_t most) {
  const json::value* given = value(name);
  if (given == nullptr) return std::nullopt;
  const std::optional<int64_t> number = whole(*given);
  if (number && *number >= least && *number <= most) return number;
  fail_type(name, *given, fmt::format("an integer from {} to {}", least, most));
  return std::nullopt;
}

std::optional<double> FieldReader::number(std::string_view name, double least, double most) {
  const json::value* given = value(name);
  if (given == nullptr) return std::nullopt;
  if (given->is_number()) {
    const double number = given->to_number<double>();
    if (number >= least && number <= most) return number;
  }
  fail_type(name, *given, fmt::format("a number from {} to {}", least, most));
  return std::nullopt;
}

std::optional<bool> FieldReader::boolean(std::string_view name) {
  const json::value* given = value(name);
  if (given == nullptr) return std::nullopt;
  if (const bool* flag = given->if_bool()) return *flag;
  fail_type(name, *given, "true or false");
  return std::nullopt;
}

std::optional<std::string> FieldReader::string(std::string_view name) {
  const json::value* given = value(name);
  if (given == nullptr) return std::nullopt;
  if (const auto* text = given->if_string()) return std::string(text->data(), text->size());
  fail_type(name, *given, "a string");
  return std::nullopt;
}

const json::array* FieldReader::array(std::string_view name) {
  const json::value* given = value(name);
  if (given == nullptr) return nullptr;
  if (const auto* list = given->if_array()) return list;
  fail_type(name, *given, "a list");
  return nullptr;
}

const json::object* FieldReader::object(std::string_view name) {
  const json::value* given = value(name);
  if (given == nullptr) return nullptr;
  if (const auto* object = given->if_object()) return object;
  fail_type(name, *given, "an object");
  return nullptr;
}

std::vector<std::string> FieldReader::strings(std::string_view name, size_t most,
                                              size_t most_bytes) {
  std::vector<std::string> out;
  const json::value* given = value(name);
  if (given == nullptr) return out;
  const auto add = [&](const json::value& item) {
    const auto* text = item.if_string();
    if (text == nullptr) return fail_type(name, item, "a string or a list of strings");
    if (text->size() > most_bytes) {
      return fail(name, fmt::format("'{}' holds a string of {} bytes; at most {} are accepted",
                                    name, text->size(), most_bytes));
    }
    out.emplace_back(text->data(), text->size());
  };
  const auto* list = given->if_array();
  if (list == nullptr) {
    add(*given);
  } else if (list->size() > most) {
    fail(name, fmt::format("'{}' has {} items; at most {} are accepted", name, list->size(), most));
  } else {
    for (const json::value& item : *list) add(item);
  }
  return out;
}

std::vector<int32_t> FieldReader::token_ids(std::string_view name, size_t most, int64_t limit) {
  std::vector<int32_t> out;
  const json::array* list = array(name);
  if (list == nullptr) return out;
  if (list->size() > most) {
    fail(name, fmt::format("'{}' has {} items; at most {} are accepted", name, list->size(), most));
    return out;
  }
  for (const json::value& item : *list) {
    const std::optional<int64_t> id = whole(item);
    if (!id || *id < 0 || *id >= limit) {
      fail_type(name, item, fmt::format("token ids from 0 to {}", limit - 1));
      return out;
    }
    out.push_back(static_cast<int32_t>(*id));
  }
  return out;
}

void FieldReader::refuse(std::string_view name, const json::value& standard) {
  const json::value* given = value(name);
  if (given == nullptr || (standard.is_null() ? is_empty(*given) : *given == standard)) return;
  fail(name, fmt::format("'{}' is not in this version of lmdeploy; leave it out", name),
       "unsupported_parameter");
}

std::vector<std::string> FieldReader::unknown() const {
  std::vector<std::string> out;
  for (const auto& member : object_) {
    const std::string_view key(member.key().data(), member.key().size());
    if (!known_.contains(key)) out.emplace_back(key);
  }
  return out;
}

}  // namespace lmdeploy
