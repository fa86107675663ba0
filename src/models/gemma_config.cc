#include "models/gemma_config.h"

#include <cmath>

namespace lmdeploy {

AttentionConfig GemmaConfig::attention() const {
  AttentionConfig attention = decoder.attention();
  attention.scale = attention_scale;
  attention.softcap = attention_softcap;
  return attention;
}

DecoderParts GemmaConfig::parts(std::vector<int> windows) const {
  DecoderParts parts = decoder_parts(decoder, std::move(windows));
  parts.embedding_scale = std::sqrt(static_cast<float>(decoder.hidden));
  parts.final_norm = norm(decoder.hidden);
  parts.head.softcap = logit_softcap;
  return parts;
}

GemmaConfig read_gemma_config(ConfigReader& reader, const GemmaDefaults& defaults) {
  GemmaConfig config;
  config.decoder = read_decoder_config(reader, {.tied = true,
                                                .rope_theta = defaults.rope_theta,
                                                .activation_key = "hidden_activation",
                                                .activation = "gelu_pytorch_tanh"});
  if (reader.object().if_contains("head_dim") == nullptr) {
    config.decoder.head_dim = config.decoder.rope.rotary_dim = 256;  // the classes' default
  }
  const double scalar = reader.optional_double(
      "query_pre_attn_scalar",
      defaults.attention_scalar > 0 ? defaults.attention_scalar : config.decoder.head_dim, 1e-6, 1e6);
  config.attention_scale = static_cast<float>(1.0 / std::sqrt(scalar));
  const auto softcap = [&](const char* key, double otherwise) {
    const bool absent = reader.object().if_contains(key) == nullptr;
    return static_cast<float>(reader.optional_double(key, absent ? otherwise : 0.0, 0.0, 1e6));
  };
  config.attention_softcap = softcap("attn_logit_softcapping", defaults.attention_softcap);
  config.logit_softcap = softcap("final_logit_softcapping", defaults.logit_softcap);
  return config;
}

Status refuse_f16(const BuildOptions& options, const char* model) {
  if (options.activation_type() != DType::kF16) return {};
  return unsupported(
      "{} does not run in float16 on a GPU: its activations pass the type's largest number; use "
      "--dtype bfloat16 or float32",
      model);
}

}  // namespace lmdeploy
