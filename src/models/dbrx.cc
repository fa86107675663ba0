// DBRX: layer norms without bias; q, k and v in one matrix, cut to +- clip_qkv before the rotation;
// experts in every layer, whose weights add up to 1. Its configuration has names of its own.
#include <fmt/format.h>

#include "models/moe_config.h"
#include "models/registry.h"
#include "nn/norm.h"

namespace lmdeploy {
namespace {

using DbrxBlock = PreNormLayer<LayerNorm, MoeMlp>;

constexpr PreNormNames kNames = {.input_norm = "norm_attn_norm.norm_1",
                                 .attention = "norm_attn_norm.attn",
                                 .post_norm = "norm_attn_norm.norm_2",
                                 .mlp = "ffn"};

// The configuration with the keys that other models have.
json::object renamed(const json::object& dbrx) {
  json::object config = dbrx;
  const auto copy = [&](const json::object& from, const char* key, const char* to) {
    if (const json::value* value = from.if_contains(key)) config[to] = *value;
  };
  const auto part = [&](const char* key) {
    const json::value* value = find(dbrx, key);
    return value != nullptr && value->is_object() ? value->as_object() : json::object();
  };
  copy(dbrx, "d_model", "hidden_size");
  copy(dbrx, "n_heads", "num_attention_heads");
  copy(dbrx, "n_layers", "num_hidden_layers");
  copy(dbrx, "max_seq_len", "max_position_embeddings");
  const json::object attention = part("attn_config"), experts = part("ffn_config");
  copy(attention, "kv_n_heads", "num_key_value_heads");
  copy(attention, "rope_theta", "rope_theta");
  copy(attention, "clip_qkv", "clip_qkv");
  copy(experts, "ffn_hidden_size", "intermediate_size");
  copy(experts, "moe_num_experts", "num_experts");
  copy(experts, "moe_top_k", "num_experts_per_tok");
  copy(experts, "moe_normalize_expert_weights", "moe_normalize_expert_weights");
  if (const json::value* act = find(experts, "ffn_act_fn"); act != nullptr && act->is_object()) {
    copy(act->as_object(), "name", "hidden_act");
  }
  return config;
}

struct DbrxConfig {
  DecoderConfig decoder;
  AttentionConfig attention;
  MoeConfig moe;

  NormConfig norm() const { return {.size = decoder.hidden, .eps = 1e-5f}; }
};

DbrxConfig read_dbrx_config(ConfigReader& reader) {
  DbrxConfig config{.decoder = read_decoder_config(reader)};
  config.attention = config.decoder.attention();
  config.attention.clip = static_cast<float>(reader.optional_double("clip_qkv", 0.0, 0.0, 1e6));
  config.attention.qkv = {.rows = QkvLayout::Rows::kStacked, .name = "Wqkv"};
  config.attention.out_name = "out_proj";
  config.attention.qkv_bias = config.attention.out_bias = Bias::kNone;
  config.moe =
      read_moe_config(reader, config.decoder,
                      {.default_experts = 4, .size = "intermediate_size", .default_top_k = 1});
  config.moe.router = "router.layer";
  config.moe.form = ExpertForm::kRows;
  config.moe.names = {.gate = "mlp.w1", .up = "mlp.v1", .down = "mlp.w2"};
  const json::value* norm = reader.object().if_contains("moe_normalize_expert_weights");
  config.moe.routing.renormalize = norm == nullptr || !norm->is_null();
  if (const double order = reader.optional_double("moe_normalize_expert_weights", 1.0);
      order != 1.0) {
    reader.problem(
        fmt::format("'moe_normalize_expert_weights' is {}; only 1 and null are supported", order));
  }
  return config;
}

}  // namespace

Result<std::unique_ptr<BuiltModel>> make_dbrx(ConfigReader& original, const Weights& root,
                                              const BuildOptions& options) {
  const json::object values = renamed(original.object());
  ConfigReader reader(values);
  const DbrxConfig config = read_dbrx_config(reader);
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(check_split(config.moe, options.parallel));
  DecoderParts parts = decoder_parts(
      config.decoder, std::vector<int>(static_cast<size_t>(config.decoder.layers), 0));
  parts.final_norm = config.norm();
  parts.names = {.embedding = "transformer.wte",
                 .layers = "transformer.blocks",
                 .final_norm = "transformer.norm_f"};
  return make_decoder<DbrxBlock>(
      root, options, config.decoder, parts, [&](const Weights& weights, int layer) {
        return std::make_unique<DbrxBlock>(weights, options, config.norm(), config.attention,
                                           config.moe, layer, kNames);
      });
}

}  // namespace lmdeploy
