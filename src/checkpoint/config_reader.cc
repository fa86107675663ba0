#include "checkpoint/config_reader.h"

#include <cmath>
#include <utility>

namespace lmdeploy {

namespace {

// The value inside, or `otherwise` with the error remembered.
template <class T>
T value_or_problem(Result<std::optional<T>> value, T otherwise,
                   std::vector<std::string>& problems) {
  if (!value.ok()) {
    problems.push_back(value.status().message());
    return otherwise;
  }
  return value->has_value() ? std::move(**value) : std::move(otherwise);
}

}  // namespace

int64_t ConfigReader::required_int(std::string_view key, int64_t min, int64_t max) {
  const Result<std::optional<int64_t>> value = get_int(*config_, key);
  if (!value.ok()) {
    problems_.push_back(value.status().message());
    return min;
  }
  if (!value->has_value()) {
    problems_.push_back(fmt::format("'{}' is missing", key));
    return min;
  }
  if (**value < min || **value > max) {
    problems_.push_back(fmt::format("'{}' is {}; expected {} to {}", key, **value, min, max));
    return min;
  }
  return **value;
}

int64_t ConfigReader::optional_int(std::string_view key, int64_t otherwise) {
  return value_or_problem(get_int(*config_, key), otherwise, problems_);
}

double ConfigReader::optional_double(std::string_view key, double otherwise) {
  const double value = value_or_problem(get_double(*config_, key), otherwise, problems_);
  if (std::isfinite(value)) return value;
  problems_.push_back(fmt::format("'{}' is not a finite number", key));
  return otherwise;
}

double ConfigReader::optional_double(std::string_view key, double otherwise, double min,
                                     double max) {
  const double value = optional_double(key, otherwise);
  if ((value >= min && value <= max) || value == otherwise) return value;
  problems_.push_back(fmt::format("'{}' is {}; expected {} to {}", key, value, min, max));
  return otherwise;
}

bool ConfigReader::optional_bool(std::string_view key, bool otherwise) {
  return value_or_problem(get_bool(*config_, key), otherwise, problems_);
}

std::string ConfigReader::optional_string(std::string_view key, std::string otherwise) {
  return value_or_problem(get_string(*config_, key), std::move(otherwise), problems_);
}

const json::object* ConfigReader::optional_object(std::string_view key) {
  const json::value* value = find(*config_, key);
  if (value == nullptr) return nullptr;
  if (const json::object* object = value->if_object()) return object;
  problems_.push_back(fmt::format("'{}' is not an object", key));
  return nullptr;
}

const json::array* ConfigReader::optional_array(std::string_view key) {
  const json::value* value = find(*config_, key);
  if (value == nullptr) return nullptr;
  if (const json::array* array = value->if_array()) return array;
  problems_.push_back(fmt::format("'{}' is not an array", key));
  return nullptr;
}

Status ConfigReader::status() const {
  if (problems_.empty()) return Status();
  std::string text;
  for (const std::string& problem : problems_) text += (text.empty() ? "" : "; ") + problem;
  return invalid_argument("{}: {}", what_, text);
}

}  // namespace lmdeploy
