// DeepSeek V2, V2-Lite and V3: latent attention; dense first layers, then experts beside MLPs for
// every token. V3 scores its experts by sigmoid and chooses them by groups, with a correction.
#include <fmt/format.h>

#include <cmath>

#include "models/moe_config.h"
#include "models/registry.h"
#include "nn/latent_attention.h"

namespace lmdeploy {
namespace {

using LatentBlock = PreNormLayer<RmsNorm, SparseMlp, LatentAttention>;

// What the kernels take; every published model has 512 + 64.
constexpr int kMaxCachedHead = 576, kMaxRope = 256;
constexpr int64_t kMaxHeadSize = 4096, kMaxQueryRank = 16384;

// The softmax scale of models with yarn: squared, since q and k both are to have its factor.
float attention_scale(ConfigReader& reader, const RopeConfig& rope, int head_size) {
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_size)));
  const json::object* scaling = reader.optional_object("rope_scaling");
  if (rope.type != RopeType::kYarn || scaling == nullptr) return scale;
  ConfigReader values(*scaling, "rope_scaling");
  const double factor =
      yarn_mscale(rope.factor, values.optional_double("mscale_all_dim", 0.0, 0.0, 1000.0));
  return scale * static_cast<float>(factor * factor);
}

LatentAttentionConfig read_attention(ConfigReader& reader, const DecoderConfig& decoder) {
  const auto size = [&](const char* key) {
    return static_cast<int>(reader.required_int(key, 1, kMaxHeadSize));
  };
  LatentAttentionConfig config{.hidden = decoder.hidden, .heads = decoder.heads};
  config.query_rank = reader.optional_int("q_lora_rank", 0);
  if (config.query_rank < 0 || config.query_rank > kMaxQueryRank) {
    reader.problem(fmt::format("'q_lora_rank' is {}; expected 0 to {}", config.query_rank, kMaxQueryRank));
  }
  config.latent_dim = size("kv_lora_rank");
  config.nope_dim = size("qk_nope_head_dim");
  config.rope_dim = size("qk_rope_head_dim");
  config.value_dim = size("v_head_dim");
  if (config.head_dim() > kMaxCachedHead || config.rope_dim % 2 != 0 || config.rope_dim > kMaxRope) {
    reader.problem(fmt::format(
        "'kv_lora_rank' {} and 'qk_rope_head_dim' {}: expected at most {} together, the second even and at most {}",
        config.latent_dim, config.rope_dim, kMaxCachedHead, kMaxRope));
  }
  config.bias = reader.optional_bool("attention_bias", false) ? Bias::kRequired : Bias::kNone;
  if (decoder.logn_length > 0) reader.problem("latent attention has no logn scaling");
  return config;
}

// The cache of all heads is one head: the latent and the rotated key.
void use_latent_cache(const LatentAttentionConfig& attention, DecoderConfig& decoder) {
  decoder.kv_heads = 1;
  decoder.head_dim = attention.head_dim();
}

}  // namespace

Result<std::unique_ptr<BuiltModel>> make_deepseek_v2(ConfigReader& reader, const Weights& root,
                                                     const BuildOptions& options) {
  DecoderConfig config = read_decoder_config(reader);
  LatentAttentionConfig attention = read_attention(reader, config);
  config.rope = read_rope_config(reader, attention.rope_dim);
  if (config.rope.rotary_dim != attention.rope_dim) {
    reader.problem("'partial_rotary_factor' is not supported beside qk_rope_head_dim");
  }
  attention.scale = attention_scale(reader, config.rope, attention.nope_dim + attention.rope_dim);
  const std::vector<bool> sparse = deepseek_sparse_layers(reader, config.layers);
  const MoeConfig moe = read_deepseek_moe_config(reader, config);
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(check_split(moe, options.parallel));
  use_latent_cache(attention, config);
  DecoderParts parts =
      decoder_parts(config, std::vector<int>(static_cast<size_t>(config.layers), 0));
  parts.latent_dim = attention.latent_dim;
  root.plan().ignore("model.layers." + std::to_string(config.layers) + ".*");  // predicts further tokens
  return make_decoder<LatentBlock>(
      root, options, config, parts, [&](const Weights& weights, int layer) {
        SparseMlpConfig mlp{.dense = config.mlp()};
        if (sparse[static_cast<size_t>(layer)]) mlp.moe = moe;
        return std::make_unique<LatentBlock>(weights, options, config.norm(), attention, mlp, layer);
      });
}


// Configurations that transformers 5 has written leave out what every V3 has.
Result<std::unique_ptr<BuiltModel>> make_deepseek_v3(ConfigReader& given, const Weights& root,
                                                     const BuildOptions& options) {
  const json::object keys = with_classic_keys(
      given.object(), {}, {{"scoring_func", "sigmoid"}, {"topk_method", "noaux_tc"}});
  ConfigReader reader(keys);
  return make_deepseek_v2(reader, root, options);
}

}  // namespace lmdeploy
