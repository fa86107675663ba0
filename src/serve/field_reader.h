// FieldReader: typed, bounded access to the fields of a request body. The first error sticks, every
// later read gives nothing, so a parser reads all its fields and asks once.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/api_error.h"

namespace lmdeploy {

// Borrows the object. Not thread-safe.
class FieldReader {
 public:
  explicit FieldReader(const json::object& object) : object_(object) {}

  // Absent and null give nullopt / nullptr. A wrong type, or a number out of [least, most], fails.
  std::optional<int64_t> integer(std::string_view name, int64_t least, int64_t most);
  std::optional<double> number(std::string_view name, double least, double most);
  std::optional<bool> boolean(std::string_view name);
  std::optional<std::string> string(std::string_view name);
  const json::value* value(std::string_view name);
  const json::array* array(std::string_view name);
  const json::object* object(std::string_view name);
  // The field is there and says null.
  bool is_null(std::string_view name) const;
  // A string or a list of at most `most` strings, each of at most `most_bytes`.
  std::vector<std::string> strings(std::string_view name, size_t most, size_t most_bytes);
  // A list of at most `most` integers in [0, limit).
  std::vector<int32_t> token_ids(std::string_view name, size_t most, int64_t limit);

  // The field is known and has no effect here.
  void ignore(std::string_view name) { known_.insert(name); }
  // The field is known, and this version takes nothing but its default: fails with a 400 by name
  // unless it is absent, null or equal to `standard` (without one: false, 0 or empty).
  void refuse(std::string_view name, const json::value& standard = nullptr);

  void fail(std::string_view name, std::string message, std::string code = {});
  bool ok() const { return !error_; }
  const ApiError& error() const { return *error_; }

  // Fields of the object that no read, ignore or refuse has named.
  std::vector<std::string> unknown() const;

 private:
  void fail_type(std::string_view name, const json::value& value, std::string_view expected);

  const json::object& object_;
  std::set<std::string_view> known_;
  std::optional<ApiError> error_;
};

}  // namespace lmdeploy
