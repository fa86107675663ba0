#include "checkpoint/gguf_architecture.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

namespace lmdeploy {

namespace {

struct NamePair {
  std::string_view gguf, hf;
};

}  // namespace

struct GgufArchitecture {
  std::string_view name;     // general.architecture, and the prefix of its metadata keys
  std::string_view hf_name;  // architectures[0]
  std::string_view model_type;
  bool interleaved_rope;  // converter put the rows of q and k in interleaved order
  bool norm_plus_one;     // converter added 1 to norm weights
  double rope_theta;      // where the metadata has none
  std::span<const NamePair> layer_names = {};  // that are not the common ones
};

namespace {

constexpr NamePair kModelNames[] = {
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
};
constexpr NamePair kLayerNames[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"}, {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},           {"ffn_down", "mlp.down_proj"},
};
// The norm before the MLP is named after what precedes it where there is one norm a sublayer.
constexpr NamePair kPreNormNames[] = {
    {"ffn_norm", "post_attention_layernorm"},
};
// '*': the expert, the first index of a tensor of them all, or N of ffn_gate.N.
constexpr NamePair kMixtralNames[] = {
    {"ffn_gate_inp", "block_sparse_moe.gate"},
    {"ffn_gate_exps", "block_sparse_moe.experts.*.w1"},
    {"ffn_down_exps", "block_sparse_moe.experts.*.w2"},
    {"ffn_up_exps", "block_sparse_moe.experts.*.w3"},
};
constexpr NamePair kPhi3Names[] = {
    {"attn_qkv", "self_attn.qkv_proj"},
    {"ffn_up", "mlp.gate_up_proj"},
};
constexpr NamePair kStarcoder2Names[] = {
    {"ffn_up", "mlp.c_fc"},
    {"ffn_down", "mlp.c_proj"},
};
constexpr NamePair kSandwichNormNames[] = {
    {"post_attention_norm", "post_attention_layernorm"},
    {"ffn_norm", "pre_feedforward_layernorm"},
    {"post_ffw_norm", "post_feedforward_layernorm"},
};

constexpr GgufArchitecture kArchitectures[] = {
    {"llama", "LlamaForCausalLM", "llama", true, false, 10000.0, kMixtralNames},
    {"qwen2", "Qwen2ForCausalLM", "qwen2", false, false, 10000.0},
    {"qwen3", "Qwen3ForCausalLM", "qwen3", false, false, 1000000.0},
    {"gemma", "GemmaForCausalLM", "gemma", false, true, 10000.0},
    {"gemma2", "Gemma2ForCausalLM", "gemma2", false, true, 10000.0, kSandwichNormNames},
    {"gemma3", "Gemma3ForCausalLM", "gemma3_text", false, true, 1000000.0, kSandwichNormNames},
    {"phi3", "Phi3ForCausalLM", "phi3", false, false, 10000.0, kPhi3Names},
    {"starcoder2", "Starcoder2ForCausalLM", "starcoder2", false, false, 10000.0, kStarcoder2Names},
};

constexpr std::string_view kLongFactors = "rope_factors_long.weight";
constexpr std::string_view kShortFactors = "rope_factors_short.weight";

std::optional<std::string_view> lookup(std::span<const NamePair> names, std::string_view gguf) {
  for (const NamePair& pair : names) {
    if (pair.gguf == gguf) return pair.hf;
  }
  return std::nullopt;
}

bool is_gemma(const GgufArchitecture& architecture) { return architecture.name.starts_with("gemma"); }

// Metadata stores fp32: 1e-5 reads as 9.999999747e-06. The shortest decimal that rounds to the same
// fp32 is what config.json had.
double shortest(double value) {
  char text[32];
  const auto written = std::to_chars(text, text + sizeof(text), static_cast<float>(value));
  double out = value;
  std::from_chars(text, written.ptr, out);
  return out;
}

// Builds the config from "<architecture>.*" metadata.
class ConfigBuilder {
 public:
  ConfigBuilder(const GgufArchitecture& architecture, const GgufFile& file, ProblemList& problems)
      : arch_(architecture), file_(file), problems_(problems) {}

  json::object build() {
    config_["architectures"] = json::array{json::string(arch_.hf_name)};
    config_["model_type"] = arch_.model_type;
    dimensions();
    attention();
    experts();
    rope();
    tensors_decide();
    if (is_gemma(arch_)) {
      config_["hidden_activation"] = "gelu_pytorch_tanh";
    } else {
      config_["hidden_act"] = arch_.name == "starcoder2" ? "gelu_pytorch_tanh" : "silu";
    }
    if (arch_.name == "gemma2") gemma2();
    if (arch_.name == "gemma3") gemma3();
    if (arch_.name == "phi3") phi3();
    if (arch_.name == "starcoder2") starcoder2();
    token_ids();
    return std::move(config_);
  }

 private:
  std::string key(std::string_view name) const { return fmt::format("{}.{}", arch_.name, name); }
  std::optional<int64_t> integer(std::string_view name) {
    return file_.metadata.integer(key(name), problems_);
  }
  std::optional<double> real(std::string_view name) {
    const std::optional<double> value = file_.metadata.real(key(name), problems_);
    if (!value) return value;
    if (!std::isfinite(*value)) {
      problems_.add("metadata value '{}' is not finite", key(name));
      return std::nullopt;
    }
    return shortest(*value);
  }
  const GgufTensor* tensor(std::string_view name) const {
    for (const GgufTensor& t : file_.tensors) {
      if (t.name == name) return &t;
    }
    return nullptr;
  }

  // A positive size, one number or (some converters) one a layer, which must then be all the same.
  int64_t dimension(std::string_view name, std::optional<int64_t> otherwise = {}) {
    const GgufValue* value = file_.metadata.find(key(name));
    std::optional<int64_t> size;
    if (value != nullptr && value->is_array) {
      const std::vector<int64_t> sizes = file_.metadata.integers(key(name), problems_);
      if (sizes.empty()) return 1;
      size = sizes[0];
      for (int64_t other : sizes) {
        if (other == sizes[0]) continue;
        problems_.add(
            "metadata value '{}' differs between layers, which is not supported in this "
            "version",
            key(name));
        return 1;
      }
    } else {
      size = value == nullptr ? otherwise : file_.metadata.integer(key(name), problems_);
      if (!size) {
        if (value == nullptr) problems_.add("metadata value '{}' is missing", key(name));
        return 1;
      }
    }
    if (*size < 1 || *size > (int64_t{1} << 31)) {
      problems_.add("metadata value '{}' is {}; expected 1 to 2^31", key(name), *size);
      return 1;
    }
    return *size;
  }

  void dimensions() {
    hidden_ = dimension("embedding_length");
    layers_ = dimension("block_count");
    heads_ = dimension("attention.head_count");
    config_["hidden_size"] = hidden_;
    config_["intermediate_size"] = dimension("feed_forward_length");
    config_["num_hidden_layers"] = layers_;
    config_["num_attention_heads"] = heads_;
    config_["num_key_value_heads"] = dimension("attention.head_count_kv", heads_);
    config_["max_position_embeddings"] = dimension("context_length");
    head_dim_ = dimension("attention.key_length",
                          is_gemma(arch_) ? 256 : std::max<int64_t>(1, hidden_ / heads_));
    config_["head_dim"] = head_dim_;
    if (dimension("attention.value_length", head_dim_) != head_dim_) {
      problems_.add("metadata values '{}' and '{}' differ, which is not supported in this version",
                    key("attention.key_length"), key("attention.value_length"));
    }
  }

  // Mixtral's files are of architecture llama.
  void experts() {
    if (integer("expert_count").value_or(0) <= 0) return;
    if (arch_.name != "llama") {
      problems_.add(
          "the model is a mixture of experts ('{}'), which of this architecture comes with a later "
          "version",
          key("expert_count"));
      return;
    }
    config_["architectures"] = json::array{"MixtralForCausalLM"};
    config_["model_type"] = "mixtral";
    config_["num_local_experts"] = dimension("expert_count");
    config_["num_experts_per_tok"] = dimension("expert_used_count");
  }

  void attention() {
    const bool layer_norms = arch_.name == "starcoder2";
    const char* name =
        layer_norms ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
    const std::optional<double> eps = real(name);
    if (!eps) problems_.add("metadata value '{}' is missing", key(name));
    config_[layer_norms ? "norm_epsilon" : "rms_norm_eps"] = eps.value_or(1e-6);
    const int64_t window = integer("attention.sliding_window").value_or(0);
    if (window <= 0) return;
    config_["sliding_window"] = window;
    // Llama has no window: a file of that architecture with one is Mistral's. Qwen's configurations
    // name a window that is off (use_sliding_window), a key that GGUF does not carry.
    if (arch_.name == "llama") {
      config_["architectures"] = json::array{"MistralForCausalLM"};
      config_["model_type"] = "mistral";
    }
  }

  void rope() {
    config_["rope_theta"] = real("rope.freq_base").value_or(arch_.rope_theta);
    const int64_t rotary = dimension("rope.dimension_count", head_dim_);
    if (rotary != head_dim_) {
      if (rotary > head_dim_ || rotary % 2 != 0) {
        problems_.add("metadata value '{}' is {}; expected an even number up to the head's {}",
                      key("rope.dimension_count"), rotary, head_dim_);
      }
      config_["partial_rotary_factor"] =
          static_cast<double>(rotary) / static_cast<double>(head_dim_);
    }
    config_["rope_scaling"] = rope_scaling();
  }

  json::value rope_scaling() {
    std::string type(file_.metadata.string(key("rope.scaling.type"), problems_).value_or(""));
    std::optional<double> factor = real("rope.scaling.factor");
    if (!factor) factor = real("rope.scale_linear");  // before GGUF had scaling types
    if (type.empty() && factor && *factor != 0.0 && *factor != 1.0) type = "linear";
    if (type.empty() || type == "none") return nullptr;
    if (type == "longrope" && arch_.name == "phi3") return nullptr;  // phi3() reads it
    json::object scaling{{"rope_type", type}};
    if (type != "linear" && type != "yarn") {
      problems_.add("metadata value '{}' is '{}'; known are none, linear and yarn",
                    key("rope.scaling.type"), type);
      return nullptr;
    }
    if (!factor) {
      problems_.add("metadata value '{}' is missing", key("rope.scaling.factor"));
      return nullptr;
    }
    scaling["factor"] = *factor;
    if (const auto length = integer("rope.scaling.original_context_length")) {
      scaling["original_max_position_embeddings"] = *length;
    }
    // GGUF's factor multiplies yarn's default one; Hugging Face's replaces it.
    if (const auto multiplier = real("rope.scaling.attn_factor"); multiplier && type == "yarn") {
      scaling["attention_factor"] = *multiplier * (0.1 * std::log(std::max(*factor, 1.0)) + 1.0);
    }
    if (const auto beta_fast = real("rope.scaling.yarn_beta_fast"))
      scaling["beta_fast"] = *beta_fast;
    if (const auto beta_slow = real("rope.scaling.yarn_beta_slow"))
      scaling["beta_slow"] = *beta_slow;
    return scaling;
  }

  // What the presence or shape of a tensor says better than any metadata.
  void tensors_decide() {
    const GgufTensor* embedding = tensor("token_embd.weight");
    if (embedding == nullptr || embedding->shape.rank() != 2) {
      problems_.add("tensor 'token_embd.weight' {}",
                    embedding == nullptr ? "is missing" : "is no matrix");
    } else {
      config_["vocab_size"] = embedding->shape[0];
    }
    config_["tie_word_embeddings"] = tensor("output.weight") == nullptr;
    config_["attention_bias"] = tensor("blk.0.attn_q.bias") != nullptr;
    config_["mlp_bias"] = tensor("blk.0.ffn_gate.bias") != nullptr;
  }

  // A cap of 0 is off, an absent one has the class's value.
  void softcap(const char* name, double otherwise) {
    const double cap = real(name).value_or(otherwise);
    config_[name] = cap > 0.0 ? json::value(cap) : json::value(nullptr);
  }

  // Softmax scale is query_pre_attn_scalar^-0.5. The 27B models alone, which have this many layers,
  // divide by the hidden size per head and not by head_dim.
  void attention_scalar(int64_t layers_of_27b) {
    config_["query_pre_attn_scalar"] = layers_ == layers_of_27b ? hidden_ / heads_ : head_dim_;
  }

  void gemma2() {
    attention_scalar(46);
    softcap("attn_logit_softcapping", 50.0);
    softcap("final_logit_softcapping", 30.0);
  }

  // Longrope's factors are tensors.
  void phi3() {
    json::array short_factors = vector_of(kShortFactors), long_factors = vector_of(kLongFactors);
    if (short_factors.empty() && long_factors.empty()) return;
    json::object scaling{{"rope_type", "longrope"},
                         {"short_factor", std::move(short_factors)},
                         {"long_factor", std::move(long_factors)}};
    if (const auto length = integer("rope.scaling.original_context_length")) {
      scaling["original_max_position_embeddings"] = *length;
    }
    if (const auto scale = real("rope.scaling.attn_factor")) scaling["attention_factor"] = *scale;
    config_["rope_scaling"] = std::move(scaling);
  }

  // The elements of a small fp32 vector; empty where there is no such tensor.
  json::array vector_of(std::string_view name) {
    constexpr int64_t kMost = 4096;
    json::array values;
    const GgufTensor* found = tensor(name);
    if (found == nullptr) return values;
    if (found->dtype != DType::kF32 || found->shape.rank() != 1 || found->shape[0] > kMost) {
      problems_.add("tensor '{}' is {} {}; expected a short f32 vector", name,
                    dtype_name(found->dtype), found->shape.to_string());
      return values;
    }
    for (int64_t i = 0; i < found->shape[0]; ++i) {
      float value;
      std::memcpy(&value, found->data + static_cast<size_t>(i) * sizeof(float), sizeof(float));
      values.push_back(shortest(value));
    }
    return values;
  }

  // The published models have this window, a key that GGUF does not carry.
  void starcoder2() {
    if (config_.if_contains("sliding_window") == nullptr) config_["sliding_window"] = 4096;
  }

  void gemma3() {
    if (config_.if_contains("sliding_window") == nullptr) {
      problems_.add("metadata value '{}' is missing", key("attention.sliding_window"));
    }
    config_["rope_local_base_freq"] = real("rope.freq_base_swa").value_or(10000.0);
    attention_scalar(62);
    if (const auto scale = real("attention.scale"); scale && *scale > 0.0) {
      config_["query_pre_attn_scalar"] = std::round(1.0 / (*scale * *scale));
    }
    config_["attn_logit_softcapping"] = nullptr;
    softcap("final_logit_softcapping", 0.0);
    layer_types();
  }

  // Which layers have the window: a list of bools, or every p-th layer without it (p = 6 if
  // silent).
  void layer_types() {
    constexpr int64_t kMaxLayers = 4096;
    constexpr int64_t kPattern = 6;
    if (layers_ > kMaxLayers) {
      problems_.add("metadata value '{}' is {}; at most {} are possible", key("block_count"),
                    layers_, kMaxLayers);
      return;
    }
    const std::string name = key("attention.sliding_window_pattern");
    const GgufValue* value = file_.metadata.find(name);
    std::vector<int64_t> windowed;
    int64_t pattern = kPattern;
    if (value != nullptr && value->is_array) {
      windowed = file_.metadata.integers(name, problems_);
      if (static_cast<int64_t>(windowed.size()) != layers_) {
        problems_.add("metadata value '{}' has {} elements for {} layers", name, windowed.size(),
                      layers_);
        return;
      }
    } else if (value != nullptr) {
      pattern = dimension("attention.sliding_window_pattern");
    }
    json::array types;
    for (int64_t layer = 0; layer < layers_; ++layer) {
      const bool window =
          windowed.empty() ? (layer + 1) % pattern != 0 : windowed[static_cast<size_t>(layer)] != 0;
      types.push_back(window ? "sliding_attention" : "full_attention");
    }
    config_["layer_types"] = std::move(types);
    if (windowed.empty()) config_["sliding_window_pattern"] = pattern;
  }

  void token_ids() {
    const NamePair ids[] = {{"tokenizer.ggml.bos_token_id", "bos_token_id"},
                            {"tokenizer.ggml.eos_token_id", "eos_token_id"},
                            {"tokenizer.ggml.padding_token_id", "pad_token_id"}};
    for (const NamePair& pair : ids) {
      if (const auto id = file_.metadata.integer(pair.gguf, problems_)) config_[pair.hf] = *id;
    }
  }

  const GgufArchitecture& arch_;
  const GgufFile& file_;
  ProblemList& problems_;
  json::object config_;
  int64_t hidden_ = 1, layers_ = 1, heads_ = 1, head_dim_ = 1;
};

}  // namespace

Result<const GgufArchitecture*> find_gguf_architecture(std::string_view name) {
  std::vector<std::string_view> known;
  for (const GgufArchitecture& architecture : kArchitectures) {
    if (architecture.name == name) return &architecture;
    known.push_back(architecture.name);
  }
  return unsupported("GGUF architecture '{}' is not supported in this version; known are: {}", name,
                     fmt::join(known, ", "));
}

std::string hf_tensor_name(const GgufArchitecture& architecture, std::string_view gguf_name) {
  const size_t dot = gguf_name.rfind('.');
  if (dot == std::string_view::npos) return std::string(gguf_name);
  const std::string_view stem = gguf_name.substr(0, dot);
  const std::string_view suffix = gguf_name.substr(dot);  // ".weight"
  if (const auto hf = lookup(kModelNames, stem)) return fmt::format("{}{}", *hf, suffix);

  constexpr std::string_view kBlock = "blk.";
  const size_t number_end = stem.find('.', kBlock.size());
  if (!stem.starts_with(kBlock) || number_end == std::string_view::npos) {
    return std::string(gguf_name);
  }
  const std::string_view number = stem.substr(kBlock.size(), number_end - kBlock.size());
  const std::string_view part = stem.substr(number_end + 1);
  auto hf = lookup(architecture.layer_names, part);
  if (!hf) hf = lookup(kLayerNames, part);
  if (!hf) hf = lookup(kPreNormNames, part);
  if (hf) return fmt::format("model.layers.{}.{}{}", number, *hf, suffix);
  // An expert by itself, as in files of 2023: "ffn_gate.7".
  const size_t expert = part.find('.');
  if (expert == std::string_view::npos) return std::string(gguf_name);
  hf = lookup(architecture.layer_names, fmt::format("{}_exps", part.substr(0, expert)));
  if (!hf) return std::string(gguf_name);
  std::string name(*hf);
  name.replace(name.find('*'), 1, part.substr(expert + 1));
  return fmt::format("model.layers.{}.{}{}", number, name, suffix);
}

bool gguf_is_configuration(const GgufArchitecture& architecture, std::string_view gguf_name) {
  return architecture.name == "phi3" && (gguf_name == kLongFactors || gguf_name == kShortFactors);
}

uint32_t gguf_baked(const GgufArchitecture& architecture, std::string_view hf_name) {
  uint32_t baked = kBakedNothing;
  const bool is_qk = hf_name.find(".q_proj.") != std::string_view::npos ||
                     hf_name.find(".k_proj.") != std::string_view::npos;
  if (architecture.interleaved_rope && is_qk) baked |= kBakedInterleavedRope;
  if (architecture.norm_plus_one && hf_name.ends_with("norm.weight")) baked |= kBakedNormPlusOne;
  return baked;
}

json::object gguf_config(const GgufArchitecture& architecture, const GgufFile& file,
                         ProblemList& problems) {
  return ConfigBuilder(architecture, file, problems).build();
}

}  // namespace lmdeploy
