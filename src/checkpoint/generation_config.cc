#include "checkpoint/generation_config.h"

#include <limits>

namespace lmdeploy {

namespace {

void add_token_id(const json::value& value, std::string_view key, std::vector<int32_t>& ids,
                  ProblemList& problems) {
  const int64_t* id = value.if_int64();
  if (id == nullptr || *id < 0 || *id > std::numeric_limits<int32_t>::max()) {
    problems.add("'{}' holds {}; expected a token id", key, to_json_text(value));
    return;
  }
  ids.push_back(static_cast<int32_t>(*id));
}

// One id or a list of them.
std::vector<int32_t> token_ids(const json::object& object, std::string_view key,
                               ProblemList& problems) {
  std::vector<int32_t> ids;
  const json::value* value = find(object, key);
  if (value == nullptr) return ids;
  if (const json::array* list = value->if_array()) {
    for (const json::value& id : *list) add_token_id(id, key, ids, problems);
  } else {
    add_token_id(*value, key, ids, problems);
  }
  return ids;
}

// The member if it is there, of the right type and within [min, max].
template <class T>
std::optional<T> bounded(Result<std::optional<T>> value, std::string_view key, T min, T max,
                         ProblemList& problems) {
  if (!value.ok()) {
    problems.add("{}", value.status().message());
    return std::nullopt;
  }
  if (value->has_value() && !(**value >= min && **value <= max)) {
    problems.add("'{}' is {}; expected {} to {}", key, **value, min, max);
    return std::nullopt;
  }
  return *value;
}

}  // namespace

GenerationDefaults read_generation_defaults(const json::object& generation,
                                            const json::object& config, ProblemList& problems) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  GenerationDefaults out;
  out.eos_ids = token_ids(generation, "eos_token_id", problems);
  if (out.eos_ids.empty()) out.eos_ids = token_ids(config, "eos_token_id", problems);
  std::vector<int32_t> bos = token_ids(generation, "bos_token_id", problems);
  if (bos.empty()) bos = token_ids(config, "bos_token_id", problems);
  if (!bos.empty()) out.bos_id = bos[0];
  if (const json::value* format = find(generation, "chat_format"); format != nullptr && format->is_string()) {
    out.chat_format = std::string(format->get_string());
  }
  const std::vector<int32_t> user = token_ids(generation, "user_token_id", problems);
  if (!user.empty()) out.user_token_id = user[0];
  const Result<std::optional<bool>> do_sample = get_bool(generation, "do_sample");
  if (do_sample.ok()) {
    out.do_sample = *do_sample;
  } else {
    problems.add("{}", do_sample.status().message());
  }
  const auto real = [&](const char* key, double min, double max) {
    return bounded(get_double(generation, key), key, min, max, problems);
  };
  const auto integer = [&](const char* key, int64_t min) {
    return bounded(get_int(generation, key), key, min, kMost, problems);
  };
  out.temperature = real("temperature", 0.0, 2.0);
  out.top_p = real("top_p", 0.0, 1.0);
  out.min_p = real("min_p", 0.0, 1.0);
  out.repetition_penalty = real("repetition_penalty", 1e-6, 1e6);
  out.top_k = integer("top_k", -1);
  // "Off" has several spellings in published files.
  if (out.top_k && *out.top_k < 0) out.top_k = 0;
  if (out.top_p && *out.top_p == 0) out.top_p.reset();
  out.max_new_tokens = integer("max_new_tokens", 1);
  return out;
}

}  // namespace lmdeploy
