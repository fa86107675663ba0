// ConfigReader: a model's keys out of config.json, with every problem collected into one error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace lmdeploy {

// Getters return the value, or the default when the key is absent or null; a missing required key
// or a wrong type is remembered and a harmless value returned. Ask status() when all keys are read.
class ConfigReader {
 public:
  explicit ConfigReader(const json::object& config, std::string what = "config.json")
      : config_(&config), what_(std::move(what)) {}

  int64_t required_int(std::string_view key, int64_t min = 1, int64_t max = int64_t{1} << 40);
  int64_t optional_int(std::string_view key, int64_t otherwise);
  double optional_double(std::string_view key, double otherwise);
  // A number outside [min, max] is a problem too.
  double optional_double(std::string_view key, double otherwise, double min, double max);
  bool optional_bool(std::string_view key, bool otherwise);
  std::string optional_string(std::string_view key, std::string otherwise);
  // nullptr when absent or null.
  const json::object* optional_object(std::string_view key);
  const json::array* optional_array(std::string_view key);
  // Remembers a problem found by the caller ("rope type 'x' is unknown; ...").
  void problem(std::string text) { problems_.push_back(std::move(text)); }

  const json::object& object() const { return *config_; }
  Status status() const;

 private:
  const json::object* config_;
  std::string what_;
  std::vector<std::string> problems_;
};

}  // namespace lmdeploy
