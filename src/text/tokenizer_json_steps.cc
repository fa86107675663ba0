#include "text/tokenizer_json_steps.h"

#include <utility>

#include "text/known_patterns.h"

namespace lmdeploy {

namespace {

using Steps = std::vector<const json::object*>;

// The steps of a section, Sequences (whose members are under `key`) flattened.
Status flatten(const json::value& value, std::string_view what, std::string_view key, Steps& steps) {
  ASSIGN_OR_RETURN(const json::object* step, step_object(value, what));
  ASSIGN_OR_RETURN(const std::string type, required_string(*step, "type"));
  if (type != "Sequence") {
    steps.push_back(step);
    return {};
  }
  const json::value* members = find(*step, key);
  if (members == nullptr || !members->is_array()) {
    return invalid_argument("a Sequence in '{}' has no list '{}'", what, key);
  }
  for (const json::value& member : members->get_array()) {
    RETURN_IF_ERROR(flatten(member, what, key, steps));
  }
  return {};
}

Result<bool> flag(const json::object& step, std::string_view key, bool fallback) {
  ASSIGN_OR_RETURN(const auto value, get_bool(step, key));
  return value.value_or(fallback);
}

// {"String": text} or {"Regex": text}.
Result<std::unique_ptr<Matcher>> read_pattern(const json::object& step) {
  const json::value* pattern = find(step, "pattern");
  if (pattern != nullptr && pattern->is_object()) {
    ASSIGN_OR_RETURN(const auto literal, get_string(pattern->get_object(), "String"));
    if (literal && !literal->empty()) return make_literal_matcher(*literal);
    ASSIGN_OR_RETURN(const auto regex, get_string(pattern->get_object(), "Regex"));
    if (regex) return make_matcher(*regex);
  }
  return invalid_argument("a step's 'pattern' is neither {{\"String\": ...}} nor {{\"Regex\": ...}}");
}

Result<SplitBehavior> read_behavior(const json::object& step) {
  ASSIGN_OR_RETURN(const std::string name, required_string(step, "behavior"));
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return invalid_argument("the behavior '{}' is none of Isolated, Removed, MergedWithPrevious, "
                          "MergedWithNext, Contiguous", name);
}

Result<std::unique_ptr<NormalizerStep>> read_normalizer_step(const json::object& step) {
  ASSIGN_OR_RETURN(const std::string type, required_string(step, "type"));
  if (type == "NFC") return make_normal_form(NormalForm::kNfc);
  if (type == "NFD") return make_normal_form(NormalForm::kNfd);
  if (type == "NFKC") return make_normal_form(NormalForm::kNfkc);
  if (type == "NFKD") return make_normal_form(NormalForm::kNfkd);
  if (type == "Lowercase") return make_lowercase();
  if (type == "StripAccents") return make_strip_accents();
  if (type == "Prepend") {
    ASSIGN_OR_RETURN(std::string prefix, required_string(step, "prepend"));
    return make_prepend(std::move(prefix));
  }
  if (type == "Strip") {
    ASSIGN_OR_RETURN(const bool left, flag(step, "strip_left", true));
    ASSIGN_OR_RETURN(const bool right, flag(step, "strip_right", true));
    return make_strip(left, right);
  }
  if (type == "Replace") {
    ASSIGN_OR_RETURN(auto matcher, read_pattern(step));
    ASSIGN_OR_RETURN(std::string content, required_string(step, "content"));
    return make_replace(std::move(matcher), std::move(content));
  }
  return unsupported("the normalizer '{}' is not in this version", type);
}

struct MetaspaceConfig {
  std::string replacement;
  PrependScheme scheme;
  bool split;
};

// Pre-tokenizer and decoder share it. Older files say add_prefix_space for prepend_scheme.
Result<MetaspaceConfig> read_metaspace(const json::object& step) {
  ASSIGN_OR_RETURN(const std::string replacement, required_string(step, "replacement"));
  ASSIGN_OR_RETURN(const bool prefix, flag(step, "add_prefix_space", true));
  ASSIGN_OR_RETURN(const bool split, flag(step, "split", true));
  ASSIGN_OR_RETURN(const auto scheme, get_string(step, "prepend_scheme"));
  const std::string name = scheme.value_or(prefix ? "always" : "never");
  if (replacement.empty()) return invalid_argument("the Metaspace replacement is empty");
  if (name == "first") return MetaspaceConfig{replacement, PrependScheme::kFirst, split};
  if (name == "always") return MetaspaceConfig{replacement, PrependScheme::kAlways, split};
  if (name == "never") return MetaspaceConfig{replacement, PrependScheme::kNever, split};
  return invalid_argument("the Metaspace prepend_scheme '{}' is none of first, always, never", name);
}

// A regex made by us, which compiles.
Status add_split(TokenizerParts& parts, const char* regex, SplitBehavior behavior, bool invert) {
  ASSIGN_OR_RETURN(auto matcher, make_matcher(regex));
  parts.pre_tokenizer.add(make_split(std::move(matcher), behavior, invert));
  return {};
}

Status add_byte_level(const json::object& step, TokenizerParts& parts) {
  ASSIGN_OR_RETURN(const bool prefix, flag(step, "add_prefix_space", true));
  ASSIGN_OR_RETURN(const bool regex, flag(step, "use_regex", true));
  if (prefix) parts.pre_tokenizer.add(make_prefix_space());
  return regex ? add_split(parts, kGpt2Pattern, SplitBehavior::kIsolated, false) : Status();
}

Status add_pre_tokenizer_step(const json::object& step, TokenizerParts& parts) {
  ASSIGN_OR_RETURN(const std::string type, required_string(step, "type"));
  if (type == "ByteLevel") return add_byte_level(step, parts);
  if (type == "Whitespace") {
    return add_split(parts, R"(\w+|[^\w\s]+)", SplitBehavior::kRemoved, true);
  }
  if (type == "WhitespaceSplit") return add_split(parts, R"(\s)", SplitBehavior::kRemoved, false);
  if (type == "Split") {
    ASSIGN_OR_RETURN(auto matcher, read_pattern(step));
    ASSIGN_OR_RETURN(const SplitBehavior behavior, read_behavior(step));
    ASSIGN_OR_RETURN(const bool invert, flag(step, "invert", false));
    parts.pre_tokenizer.add(make_split(std::move(matcher), behavior, invert));
  } else if (type == "Digits") {
    ASSIGN_OR_RETURN(const bool individual, flag(step, "individual_digits", false));
    parts.pre_tokenizer.add(make_digits(individual));
  } else if (type == "Punctuation") {
    ASSIGN_OR_RETURN(const SplitBehavior behavior, read_behavior(step));
    parts.pre_tokenizer.add(make_punctuation(behavior));
  } else if (type == "Metaspace") {
    ASSIGN_OR_RETURN(MetaspaceConfig config, read_metaspace(step));
    parts.pre_tokenizer.add(make_metaspace(config.replacement, config.scheme, config.split));
  } else {
    return unsupported("the pre-tokenizer '{}' is not in this version", type);
  }
  return {};
}

}  // namespace

Result<const json::object*> step_object(const json::value& value, std::string_view what) {
  if (!value.is_object()) return invalid_argument("a step of '{}' is not an object", what);
  return &value.get_object();
}

Result<std::string> required_string(const json::object& object, std::string_view key) {
  ASSIGN_OR_RETURN(auto text, get_string(object, key));
  if (!text) return invalid_argument("the key '{}' is missing", key);
  return std::move(*text);
}

Status read_normalizer(const json::value* section, TokenizerParts& parts) {
  if (section == nullptr) return {};
  Steps steps;
  RETURN_IF_ERROR(flatten(*section, "normalizer", "normalizers", steps));
  for (const json::object* step : steps) {
    ASSIGN_OR_RETURN(auto made, read_normalizer_step(*step));
    parts.normalizer.add(std::move(made));
  }
  return {};
}

Status read_pre_tokenizer(const json::value* section, TokenizerParts& parts, bool& byte_level) {
  byte_level = false;
  if (section == nullptr) return {};
  Steps steps;
  RETURN_IF_ERROR(flatten(*section, "pre_tokenizer", "pretokenizers", steps));
  for (const json::object* step : steps) {
    if (byte_level) {
      return unsupported("a pre-tokenizer follows ByteLevel, which must be the last one");
    }
    RETURN_IF_ERROR(add_pre_tokenizer_step(*step, parts));
    byte_level = *find(*step, "type") == "ByteLevel";
  }
  return {};
}

}  // namespace lmdeploy
