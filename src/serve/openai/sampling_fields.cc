#include "serve/openai/sampling_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace lmdeploy {

namespace {

constexpr double kDefaultTemperature = 0.7;
constexpr double kDefaultTopP = 1.0;
constexpr int64_t kDefaultTopK = 40;
constexpr double kMostBias = 100;
constexpr double kHuge = 1e6;
constexpr int64_t kMostInt = std::numeric_limits<int32_t>::max();

std::vector<TokenBias> read_logit_bias(FieldReader& fields, int64_t vocab_size) {
  std::vector<TokenBias> out;
  const json::object* given = fields.object("logit_bias");
  if (given == nullptr) return out;
  if (given->size() > kMostBiases) {
    fields.fail("logit_bias", fmt::format("'logit_bias' has {} entries; at most {} are accepted",
                                          given->size(), kMostBiases));
    return out;
  }
  for (const auto& entry : *given) {
    const std::string_view key(entry.key().data(), entry.key().size());
    int64_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || id >= vocab_size) {
      fields.fail("logit_bias",
                  fmt::format("'logit_bias' names token '{}'; expected ids from 0 to {}",
                              key.substr(0, 32), vocab_size - 1));
      return out;
    }
    if (!entry.value().is_number()) {
      fields.fail("logit_bias", fmt::format("'logit_bias' of token {} is not a number", id));
      return out;
    }
    const double bias = entry.value().to_number<double>();
    out.push_back(
        {static_cast<int32_t>(id), static_cast<float>(std::clamp(bias, -kMostBias, kMostBias))});
  }
  return out;
}

// LMDeploy's own sentences for its four checks, since clients match on them.
void check_ranges(FieldReader& fields, const SamplingParams& s, int64_t n) {
  if (n < 1) fields.fail("n", fmt::format("The n `{}` must be a positive int.", n));
  if (n > kMostChoices)
    fields.fail("n", fmt::format("The n `{}` must be at most {}.", n, kMostChoices));
  if (!(s.top_p > 0 && s.top_p <= 1)) {
    fields.fail("top_p", fmt::format("The top_p `{}` must be in (0, 1].", s.top_p));
  }
  if (s.top_k < 0) {
    fields.fail("top_k", fmt::format("The top_k `{}` cannot be a negative integer.", s.top_k));
  }
  if (!(s.temperature >= 0 && s.temperature <= 2)) {
    fields.fail("temperature",
                fmt::format("The temperature `{}` must be in [0, 2]", s.temperature));
  }
  if (!(s.repetition_penalty > 0)) {
    fields.fail("repetition_penalty",
                fmt::format("The repetition_penalty `{}` must be above 0.", s.repetition_penalty));
  }
}

}  // namespace

SamplingParams read_sampling(FieldReader& fields, const ModelFacts& facts) {
  const SamplingDefaults& defaults = facts.sampling_defaults;
  SamplingParams s;
  const int64_t n = fields.integer("n", -kMostInt, kMostInt).value_or(1);
  s.temperature = fields.number("temperature", -kHuge, kHuge)
                      .value_or(defaults.temperature.value_or(kDefaultTemperature));
  s.top_p = fields.number("top_p", -kHuge, kHuge).value_or(defaults.top_p.value_or(kDefaultTopP));
  s.top_k = static_cast<int>(
      fields.integer("top_k", -kMostInt, kMostInt).value_or(defaults.top_k.value_or(kDefaultTopK)));
  s.min_p = fields.number("min_p", 0, 1).value_or(defaults.min_p.value_or(0));
  s.repetition_penalty = fields.number("repetition_penalty", -kHuge, kHuge)
                             .value_or(defaults.repetition_penalty.value_or(1));
  s.presence_penalty = fields.number("presence_penalty", -2, 2).value_or(0);
  s.frequency_penalty = fields.number("frequency_penalty", -2, 2).value_or(0);
  check_ranges(fields, s, n);
  s.n = static_cast<int>(std::clamp<int64_t>(n, 1, kMostChoices));
  s.greedy = s.temperature == 0;
  if (const auto seed = fields.integer("seed", std::numeric_limits<int64_t>::min(),
                                       std::numeric_limits<int64_t>::max())) {
    s.seed = static_cast<uint64_t>(*seed);
  }
  s.logit_bias = read_logit_bias(fields, facts.vocab_size);
  s.stop = fields.strings("stop", kMostStops, kMostStopBytes);
  s.stop_token_ids = fields.token_ids("stop_token_ids", kMostStopIds, facts.vocab_size);
  s.bad_words = fields.strings("bad_words", kMostStops, kMostStopBytes);
  s.bad_token_ids = fields.token_ids("bad_token_ids", kMostStopIds, facts.vocab_size);
  s.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  s.skip_special_tokens = fields.boolean("skip_special_tokens").value_or(true);
  s.include_stop = fields.boolean("include_stop_str_in_output").value_or(false);
  s.min_new_tokens = fields.integer("min_new_tokens", 0, kMostInt).value_or(0);
  return s;
}

ReplyOptions read_reply_options(FieldReader& fields) {
  ReplyOptions out;
  const auto model = fields.string("model");
  if (!model)
    fields.fail("model", "'model' is missing; name the model to use (GET /v1/models lists it)");
  out.model = model.value_or("");
  out.stream = fields.boolean("stream").value_or(false);
  out.return_token_ids = fields.boolean("return_token_ids").value_or(false);
  if (const json::object* options = fields.object("stream_options")) {
    if (!out.stream) fields.fail("stream_options", "'stream_options' needs 'stream': true");
    FieldReader inner(*options);
    out.include_usage = inner.boolean("include_usage").value_or(false);
    if (!inner.ok()) fields.fail("stream_options", inner.error().message);
  }
  for (const char* name : {"user", "session_id", "metadata", "store", "service_tier",
                           "safety_identifier", "prompt_cache_key"}) {
    fields.ignore(name);
  }
  fields.refuse("response_format", json::object{{"type", "text"}});
  fields.refuse("spaces_between_special_tokens", true);
  fields.refuse("best_of", 1);
  for (const char* name : {"repetition_ngram_size", "repetition_ngram_threshold", "return_logprob",
                           "return_routed_experts", "image_data", "input_ids",
                           "mm_processor_kwargs", "media_io_kwargs"}) {
    fields.refuse(name);
  }
  return out;
}

}  // namespace lmdeploy
