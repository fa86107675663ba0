// StableLM 1 and 2: Llama's layer with layer norms, and a quarter of each head rotated. The 12B has
// attention and MLP side by side (use_parallel_residual) and norms every head of q and k by itself
// (qk_layernorm). First uploads (StableLMEpochForCausalLM) have other names for two keys.
#include "models/parallel_block.h"
#include "models/pre_norm_block.h"
#include "models/registry.h"

namespace lmdeploy {
namespace {

template <class Block>
Result<std::unique_ptr<BuiltModel>> make_layers(const Weights& root, const BuildOptions& options,
                                                const DecoderConfig& config,
                                                const AttentionConfig& attention) {
  const std::vector<int> no_windows(static_cast<size_t>(config.layers), 0);
  return make_decoder<Block>(root, options, config, decoder_parts(config, no_windows),
                             [&](const Weights& weights, int layer) {
                               return std::make_unique<Block>(weights, options, config.norm(),
                                                              attention, config.mlp(), layer);
                             });
}

}  // namespace

Result<std::unique_ptr<BuiltModel>> make_stablelm(ConfigReader& given, const Weights& root,
                                                  const BuildOptions& options) {
  const json::object keys = with_classic_keys(
      given.object(), {{"rope_pct", "partial_rotary_factor"}, {"norm_eps", "layer_norm_eps"}},
      {{"partial_rotary_factor", 0.25}});
  ConfigReader reader(keys);
  const DecoderConfig config =
      read_decoder_config(reader, {.eps_key = "layer_norm_eps", .eps = 1e-5});
  AttentionConfig attention = config.attention();
  if (reader.optional_bool("qk_layernorm", false)) {
    attention.qk_norm = QkNormConfig{.kind = QkNormConfig::Kind::kHeadLayerList,
                                     .eps = config.norm_eps,
                                     .query = "q_layernorm",
                                     .key = "k_layernorm"};
  }
  const bool parallel = reader.optional_bool("use_parallel_residual", false);
  RETURN_IF_ERROR(reader.status());
  return parallel ? make_layers<ParallelLayer<LayerNorm, GatedMlp>>(root, options, config, attention)
                  : make_layers<PreNormLayer<LayerNorm, GatedMlp>>(root, options, config, attention);
}

}  // namespace lmdeploy
