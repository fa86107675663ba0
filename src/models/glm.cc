// GLM-4 in transformers' own form: Llama's names with gate and up in one tensor; neighbouring
// dimensions of the first half of each head are rotated together. Glm4ForCausalLM (0414) also norms
// the outputs of attention and MLP.
#include "models/pre_norm_block.h"
#include "models/registry.h"
#include "models/sandwich_block.h"

namespace lmdeploy {
namespace {

AttentionConfig attention_config(const DecoderConfig& config) {
  AttentionConfig attention = config.attention();
  attention.rope_interleaved = true;
  return attention;
}

GatedMlpConfig mlp_config(const DecoderConfig& config) {
  GatedMlpConfig mlp = config.mlp();
  mlp.names.gate_up = "gate_up_proj";
  return mlp;
}

template <class Block, class Names>
Result<std::unique_ptr<BuiltModel>> make(ConfigReader& given, const Weights& root,
                                         const BuildOptions& options, const Names& names) {
  const json::object keys = with_classic_keys(given.object(), {}, {{"partial_rotary_factor", 0.5}});
  ConfigReader reader(keys);
  const DecoderConfig config = read_decoder_config(reader);
  RETURN_IF_ERROR(reader.status());
  const std::vector<int> no_windows(static_cast<size_t>(config.layers), 0);
  return make_decoder<Block>(root, options, config, decoder_parts(config, no_windows),
                             [&](const Weights& weights, int layer) {
                               return std::make_unique<Block>(weights, options, config.norm(),
                                                              attention_config(config),
                                                              mlp_config(config), layer, names);
                             });
}

}  // namespace

Result<std::unique_ptr<BuiltModel>> make_glm(ConfigReader& reader, const Weights& root,
                                             const BuildOptions& options) {
  return make<PreNormBlock>(reader, root, options, PreNormNames{});
}

Result<std::unique_ptr<BuiltModel>> make_glm4(ConfigReader& reader, const Weights& root,
                                              const BuildOptions& options) {
  return make<SandwichBlock>(reader, root, options,
                             SandwichNames{.attention_post_norm = "post_self_attn_layernorm",
                                           .mlp_norm = "post_attention_layernorm",
                                           .mlp_post_norm = "post_mlp_layernorm"});
}

}  // namespace lmdeploy
