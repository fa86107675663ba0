#include "models/decoder_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace lmdeploy {
namespace {

constexpr int64_t kMaxWidth = int64_t{1} << 22;
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeadDim = 256;  // of the models there are

// num_key_value_heads absent: as many as heads; head_dim absent: hidden / heads (models.md 1.1).
void read_heads(ConfigReader& reader, DecoderConfig& config) {
  constexpr int64_t kMaxHeads = 4096;
  const int64_t heads = reader.required_int("num_attention_heads", 1, kMaxHeads);
  const int64_t kv_heads = reader.optional_int("num_key_value_heads", heads);
  const int64_t head_dim = reader.optional_int("head_dim", config.hidden / heads);
  if (kv_heads < 1 || heads % kv_heads != 0) {
    reader.problem(fmt::format("num_attention_heads {} is not a multiple of num_key_value_heads {}",
                               heads, kv_heads));
  }
  if (head_dim < 1 || head_dim > kMaxHeadDim || head_dim % 2 != 0) {
    reader.problem(fmt::format("the head dimension is {}; expected an even number up to {}",
                               head_dim, kMaxHeadDim));
  }
  config.heads = static_cast<int>(heads);
  config.kv_heads = static_cast<int>(kv_heads);
  config.head_dim = static_cast<int>(head_dim);
}

}  // namespace

AttentionConfig DecoderConfig::attention() const {
  return {.hidden = hidden,
          .heads = heads,
          .kv_heads = kv_heads,
          .head_dim = head_dim,
          .rotary_dim = rope.rotary_dim,
          .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim))),
          .logn_length = logn_length};
}

GatedMlpConfig DecoderConfig::mlp() const {
  return {.hidden = hidden,
          .intermediate = intermediate,
          .activation = activation,
          .bias = Bias::kIfPresent};
}

json::object with_classic_keys(json::object config, std::initializer_list<KeyAlias> aliases,
                               const json::object& defaults) {
  for (const KeyAlias& alias : aliases) {
    const json::value* value = find(config, alias.key);
    if (value == nullptr || find(config, alias.classic) != nullptr) continue;
    json::value kept = *value;
    config[alias.classic] = std::move(kept);
  }
  for (const auto& [key, value] : defaults) {
    if (find(config, key) == nullptr) config[key] = value;
  }
  return config;
}

DecoderConfig read_decoder_config(ConfigReader& reader, const DecoderDefaults& defaults) {
  DecoderConfig config;
  if (const json::array* names = reader.optional_array("architectures");
      names != nullptr && !names->empty() && (*names)[0].is_string()) {
    config.architecture = std::string((*names)[0].as_string());
  }
  config.vocab_size = reader.required_int("vocab_size", 1, kMaxWidth);
  config.hidden = reader.required_int("hidden_size", 1, kMaxWidth);
  config.intermediate = reader.required_int("intermediate_size", 1, kMaxWidth);
  config.layers = static_cast<int>(reader.required_int("num_hidden_layers", 1, kMaxLayers));
  read_heads(reader, config);
  config.norm_eps =
      static_cast<float>(reader.optional_double(defaults.eps_key, defaults.eps, 1e-12, 1.0));
  config.tied = reader.optional_bool("tie_word_embeddings", defaults.tied);
  const std::string activation =
      reader.optional_string(defaults.activation_key, defaults.activation);
  if (const std::optional<Activation> known = activation_named(activation)) {
    config.activation = *known;
  } else {
    reader.problem(fmt::format("{} '{}' is not supported; known: {}", defaults.activation_key,
                               activation, known_activations()));
  }
  config.rope = read_rope_config(reader, config.head_dim, defaults.rope_theta);
  if (reader.optional_bool("use_logn_attn", false)) {
    config.logn_length = std::max<int64_t>(2, config.rope.max_position);
  }
  return config;
}

void refuse_rope_scaling(ConfigReader& reader, const DecoderConfig& config) {
  if (config.rope.type == RopeType::kDefault) return;
  reader.problem("'rope_scaling' (or --rope-scaling-factor) has no meaning for a model with ALiBi");
}

Status check_split(const DecoderConfig& config, const Parallel& parallel) {
  const int64_t ranks = parallel.size;
  const auto refuse = [&](std::string_view what, int64_t count) {
    return unsupported("{} cannot be cut over {} ranks: its {} {} do not divide evenly; use another --tp",
                       config.architecture, ranks, count, what);
  };
  if (config.heads % ranks != 0) return refuse("attention heads", config.heads);
  if (config.kv_heads % ranks != 0 && ranks % config.kv_heads != 0) {
    return refuse("key and value heads", config.kv_heads);
  }
  if (config.intermediate % ranks != 0) return refuse("columns of the MLP", config.intermediate);
  return {};
}

std::vector<bool> read_layer_types(ConfigReader& reader, int layers) {
  const json::array* types = reader.optional_array("layer_types");
  if (types == nullptr) return {};
  if (types->size() != static_cast<size_t>(layers)) {
    reader.problem(fmt::format("layer_types has {} elements for {} layers", types->size(), layers));
    return {};
  }
  std::vector<bool> sliding;
  for (const json::value& type : *types) {
    const std::string_view name = type.is_string() ? std::string_view(type.as_string()) : "";
    if (name != "sliding_attention" && name != "full_attention") {
      reader.problem(
          fmt::format("layer type {} is not supported; known: full_attention, "
                      "sliding_attention",
                      to_json_text(type)));
      return {};
    }
    sliding.push_back(name == "sliding_attention");
  }
  return sliding;
}

std::vector<int> qwen_windows(ConfigReader& reader, int layers) {
  const bool used = reader.optional_bool("use_sliding_window", false);
  const int window = used ? read_sliding_window(reader, 4096) : 0;
  const int64_t first = reader.optional_int("max_window_layers", 28);
  return layer_windows(reader, layers, window, [&](int layer) { return layer >= first; });
}

int read_sliding_window(ConfigReader& reader, int otherwise) {
  const json::value* value = reader.object().if_contains("sliding_window");
  if (value == nullptr) return otherwise;
  if (value->is_null()) return 0;
  constexpr int64_t kMaxWindow = int64_t{1} << 30;
  return static_cast<int>(reader.required_int("sliding_window", 1, kMaxWindow));
}

}  // namespace lmdeploy
