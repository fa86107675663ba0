#include "checkpoint/hf_config.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace lmdeploy {

namespace {

constexpr std::array kNestedKeys = {"text_config", "llm_config", "language_config"};
constexpr int64_t kMaxLayers = 4096;

// Moves a member to another key unless that one is there already.
void move_member(json::object& from, std::string_view old_key, json::object& to,
                 std::string_view new_key) {
  const json::value* value = find(from, old_key);
  if (value == nullptr) return;
  json::value kept = *value;
  from.erase(old_key);
  if (find(to, new_key) == nullptr) to[new_key] = std::move(kept);
}

// Architecture and class defaults of a model_type. A nested configuration omits what equals the
// default of its class, so these values are part of the format.
struct ModelType {
  std::string_view name;
  std::string_view architecture;
  json::object defaults;
};

const ModelType* find_model_type(std::string_view name) {
  static const std::array<ModelType, 5> kModelTypes = {{
      {"llama",
       "LlamaForCausalLM",
       {{"hidden_size", 4096},
        {"intermediate_size", 11008},
        {"num_hidden_layers", 32},
        {"num_attention_heads", 32},
        {"vocab_size", 32000},
        {"max_position_embeddings", 2048},
        {"rms_norm_eps", 1e-6},
        {"hidden_act", "silu"},
        {"tie_word_embeddings", false}}},
      {"mistral",
       "MistralForCausalLM",
       {{"hidden_size", 4096},
        {"intermediate_size", 14336},
        {"num_hidden_layers", 32},
        {"num_attention_heads", 32},
        {"num_key_value_heads", 8},
        {"vocab_size", 32000},
        {"max_position_embeddings", 131072},
        {"rms_norm_eps", 1e-6},
        {"hidden_act", "silu"},
        {"sliding_window", 4096},
        {"tie_word_embeddings", false}}},
      {"qwen2",
       "Qwen2ForCausalLM",
       {{"hidden_size", 4096},
        {"intermediate_size", 22016},
        {"num_hidden_layers", 32},
        {"num_attention_heads", 32},
        {"num_key_value_heads", 32},
        {"vocab_size", 151936},
        {"max_position_embeddings", 32768},
        {"rms_norm_eps", 1e-6},
        {"hidden_act", "silu"},
        {"tie_word_embeddings", false}}},
      {"qwen3",
       "Qwen3ForCausalLM",
       {{"hidden_size", 4096},
        {"intermediate_size", 22016},
        {"num_hidden_layers", 32},
        {"num_attention_heads", 32},
        {"num_key_value_heads", 32},
        {"head_dim", 128},
        {"vocab_size", 151936},
        {"max_position_embeddings", 32768},
        {"rms_norm_eps", 1e-6},
        {"hidden_act", "silu"},
        {"tie_word_embeddings", false}}},
      {"gemma3_text",
       "Gemma3ForCausalLM",
       {{"hidden_size", 2304},
        {"intermediate_size", 9216},
        {"num_hidden_layers", 26},
        {"num_attention_heads", 8},
        {"num_key_value_heads", 4},
        {"head_dim", 256},
        {"vocab_size", 262208},
        {"max_position_embeddings", 131072},
        {"rms_norm_eps", 1e-6},
        {"hidden_activation", "gelu_pytorch_tanh"},
        {"query_pre_attn_scalar", 256},
        {"sliding_window", 4096},
        {"rope_theta", 1e6},
        {"rope_local_base_freq", 1e4},
        {"tie_word_embeddings", true}}},
  }};
  for (const ModelType& type : kModelTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

// Keys that a family's own code has under another name.
struct RenamedKey {
  std::string_view model_type, from, to;
};
constexpr std::array<RenamedKey, 11> kRenamedKeys = {{
    {"qwen", "kv_channels", "head_dim"},
    {"qwen", "layer_norm_epsilon", "rms_norm_eps"},
    {"qwen", "rotary_emb_base", "rope_theta"},
    {"qwen", "rotary_pct", "partial_rotary_factor"},
    {"chatglm", "num_layers", "num_hidden_layers"},
    {"chatglm", "kv_channels", "head_dim"},
    {"chatglm", "ffn_hidden_size", "intermediate_size"},
    {"chatglm", "layernorm_epsilon", "rms_norm_eps"},
    {"chatglm", "padded_vocab_size", "vocab_size"},
    {"chatglm", "multi_query_group_num", "num_key_value_heads"},
    {"chatglm", "seq_length", "max_position_embeddings"},
}};

json::object* nested_config(json::object& config) {
  for (const char* key : kNestedKeys) {
    if (json::value* value = config.if_contains(key); value != nullptr && value->is_object()) {
      return &value->get_object();
    }
  }
  return nullptr;
}

// The language model's part of a wrapper, completed with what the wrapper says for both.
json::object unwrap(json::object& wrapper, json::object nested) {
  for (const char* key : {"torch_dtype", "dtype", "tie_word_embeddings", "bos_token_id",
                          "eos_token_id", "pad_token_id", "quantization_config", "compression_config",
                          "rope_theta",
                          "rope_scaling", "rope_parameters", "_name_or_path"}) {
    if (find(nested, key) != nullptr) continue;
    if (const json::value* value = find(wrapper, key)) nested[key] = *value;
  }
  const ModelType* type = find_model_type(text_of(find(nested, "model_type")));
  if (type == nullptr && find(nested, "architectures") == nullptr) {
    if (const json::value* names = find(wrapper, "architectures")) nested["architectures"] = *names;
  }
  return nested;
}

void fill_defaults(json::object& config) {
  const ModelType* type = find_model_type(text_of(find(config, "model_type")));
  if (type == nullptr) return;
  for (const auto& [key, value] : type->defaults) {
    if (config.if_contains(key) == nullptr) config[key] = value;
  }
}

// "repo--modeling_qwen.QWenLMHeadModel" -> "QWenLMHeadModel".
std::string auto_map_class(const json::object& config) {
  const json::value* map = find(config, "auto_map");
  if (map == nullptr || !map->is_object()) return {};
  for (const char* key : {"AutoModelForCausalLM", "AutoModel"}) {
    const json::value* entry = find(map->get_object(), key);
    if (entry != nullptr && entry->is_array() && !entry->get_array().empty()) {
      entry = &entry->get_array()[0];
    }
    const std::string_view name = text_of(entry);
    if (!name.empty()) return std::string(name.substr(name.rfind('.') + 1));
  }
  return {};
}

void settle_architecture(json::object& config, ProblemList& problems) {
  std::string name;
  if (const json::value* names = find(config, "architectures")) {
    const json::array* list = names->if_array();
    if (list == nullptr || (!list->empty() && text_of(&(*list)[0]).empty())) {
      problems.add("'architectures' is not a list of names");
      return;
    }
    if (!list->empty()) name = text_of(&(*list)[0]);
  }
  if (name.empty()) name = auto_map_class(config);
  if (name.empty()) {
    const std::string_view model_type = text_of(find(config, "model_type"));
    if (const ModelType* type = find_model_type(model_type)) name = type->architecture;
  }
  if (name.empty()) {
    problems.add("'architectures' is missing, and neither 'auto_map' nor 'model_type' tells it");
  }
  config["architectures"] = json::array{json::string(name)};
}

void settle_dtype(json::object& config) {
  move_member(config, "dtype", config, "torch_dtype");
  constexpr std::string_view kPrefix = "torch.";
  const std::string dtype(text_of(find(config, "torch_dtype")));
  if (dtype.starts_with(kPrefix)) config["torch_dtype"] = dtype.substr(kPrefix.size());
}

// One rope dictionary -> rope_theta, partial_rotary_factor and rope_scaling at the top.
void spread_rope(json::object rope, json::object& config) {
  for (const char* key : {"rope_theta", "partial_rotary_factor"}) {
    if (const json::value* value = find(rope, key)) config[key] = *value;
    rope.erase(key);
  }
  config["rope_scaling"] = std::move(rope);
}

// transformers 5: rope_parameters, one dictionary or one for each layer type.
void settle_rope_parameters(json::object& config, ProblemList& problems) {
  const json::value* value = find(config, "rope_parameters");
  if (value == nullptr) return;
  if (!value->is_object()) {
    problems.add("'rope_parameters' is not an object");
    return;
  }
  const json::object rope = value->get_object();
  config.erase("rope_parameters");
  const json::value* full = find(rope, "full_attention");
  const json::value* sliding = find(rope, "sliding_attention");
  if (full == nullptr && sliding == nullptr) {
    spread_rope(rope, config);
    return;
  }
  if (sliding != nullptr && sliding->is_object()) {
    const json::object& local = sliding->get_object();
    const std::string_view type = text_of(find(local, "rope_type"));
    if (!type.empty() && type != "default") {
      problems.add(
          "'rope_parameters.sliding_attention' has rope_type '{}'; only 'default' is known", type);
    }
    if (const json::value* theta = find(local, "rope_theta"))
      config["rope_local_base_freq"] = *theta;
  }
  if (full != nullptr && full->is_object()) spread_rope(full->get_object(), config);
}

void settle_rope_scaling(json::object& config, ProblemList& problems) {
  const json::value* value = find(config, "rope_scaling");
  if (value == nullptr) return;
  if (!value->is_object()) {
    problems.add("'rope_scaling' is not an object");
    return;
  }
  json::object scaling = value->get_object();
  move_member(scaling, "type", scaling, "rope_type");
  move_member(scaling, "rope_theta", config, "rope_theta");
  if (text_of(find(scaling, "rope_type")) == "su") scaling["rope_type"] = "longrope";
  const std::string_view type = text_of(find(scaling, "rope_type"));
  const bool plain = type.empty() || type == "default";
  if (plain && find(scaling, "mrope_section") == nullptr) {
    config["rope_scaling"] = nullptr;
    return;
  }
  if (const json::value* length = find(config, "original_max_position_embeddings");
      length != nullptr && find(scaling, "original_max_position_embeddings") == nullptr) {
    scaling["original_max_position_embeddings"] = *length;
  }
  config["rope_scaling"] = std::move(scaling);
}

void settle_family_keys(json::object& config) {
  const std::string model_type(text_of(find(config, "model_type")));
  for (const RenamedKey& key : kRenamedKeys) {
    if (key.model_type != model_type || find(config, key.from) == nullptr) continue;
    config.erase(key.to);  // what the family's own code does not read
    move_member(config, key.from, config, key.to);
  }
}

// InternLM 1 has "rotary": {"base", "type": "origin" or "dynamic", "scaling_factor"} in some copies.
void settle_internlm_rotary(json::object& config, ProblemList& problems) {
  if (text_of(find(config, "model_type")) != "internlm") return;
  const json::value* value = find(config, "rotary");
  if (value == nullptr || value->is_null()) return;
  if (!value->is_object()) {
    problems.add("'rotary' is not an object");
    return;
  }
  const json::object rotary = value->get_object();
  if (const json::value* base = find(rotary, "base")) config["rope_theta"] = *base;
  const std::string_view type = text_of(find(rotary, "type"));
  if (type != "dynamic") return;
  const json::value* factor = find(rotary, "scaling_factor");
  config["rope_scaling"] =
      json::object{{"rope_type", "dynamic"}, {"factor", factor == nullptr ? json::value(1.0) : *factor}};
}

// Gemma 3 before transformers 4.53 has the pattern (every sixth layer is global) and no
// layer_types.
void settle_layer_types(json::object& config, ProblemList& problems) {
  move_member(config, "_sliding_window_pattern", config, "sliding_window_pattern");
  const std::string_view model_type = text_of(find(config, "model_type"));
  if (model_type != "gemma3_text" || find(config, "layer_types") != nullptr) return;
  const Result<std::optional<int64_t>> layers = get_int(config, "num_hidden_layers");
  const Result<std::optional<int64_t>> pattern = get_int(config, "sliding_window_pattern");
  if (!layers.ok() || !pattern.ok() || layers->value_or(0) < 1 ||
      layers->value_or(0) > kMaxLayers || pattern->value_or(6) < 1) {
    problems.add("'num_hidden_layers' and 'sliding_window_pattern' do not give the layers' types");
    return;
  }
  json::array types;
  for (int64_t layer = 1; layer <= **layers; ++layer) {
    types.push_back(layer % pattern->value_or(6) == 0 ? "full_attention" : "sliding_attention");
  }
  config["layer_types"] = std::move(types);
}

}  // namespace

json::object classic_config(json::object config, bool& multimodal, ProblemList& problems) {
  json::object* nested = nested_config(config);
  multimodal = nested != nullptr;
  if (multimodal) {
    config = unwrap(config, *nested);
    settle_rope_parameters(config, problems);
    fill_defaults(config);
  } else {
    settle_rope_parameters(config, problems);
  }
  settle_architecture(config, problems);
  settle_family_keys(config);
  settle_internlm_rotary(config, problems);
  settle_dtype(config);
  settle_rope_scaling(config, problems);
  settle_layer_types(config, problems);
  return config;
}

}  // namespace lmdeploy
