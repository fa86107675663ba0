// StableLM: Llama's matrices under layer norms; a quarter of each head is rotated. Some have the MLP
// beside attention (use_parallel_residual) or norms of each head of q and k (qk_layernorm).
#include "models/parallel_block.h"
#include "models/pre_norm_block.h"
#include "models/registry.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_stablelm(ConfigReader& given, const Weights& root,
                                                  const BuildOptions& options) {
  const json::object keys = with_classic_keys(
      given.object(), {{"rope_pct", "partial_rotary_factor"}, {"norm_eps", "layer_norm_eps"}},
      {{"partial_rotary_factor", 0.25}});
  ConfigReader reader(keys);
  const DecoderConfig config =
      read_decoder_config(reader, {.eps_key = "layer_norm_eps", .eps = 1e-5});
  const bool parallel = reader.optional_bool("use_parallel_residual", false);
  AttentionConfig attention = config.attention();
  if (reader.optional_bool("qk_layernorm", false)) {
    attention.qk_norm = QkNormConfig{.kind = QkNormConfig::Kind::kHeadLayerList,
                                     .eps = config.norm_eps,
                                     .query = "q_layernorm",
                                     .key = "k_layernorm"};
  }
  RETURN_IF_ERROR(reader.status());
  const DecoderParts parts =
      decoder_parts(config, std::vector<int>(static_cast<size_t>(config.layers), 0));
  const auto build = [&]<class Block>() {
    return make_decoder<Block>(
        root, options, config, parts, [&](const Weights& weights, int layer) {
          return std::make_unique<Block>(weights, options, config.norm(), attention, config.mlp(),
                                         layer);
        });
  };
  if (parallel) return build.operator()<ParallelLayer<LayerNorm, GatedMlp>>();
  return build.operator()<PreNormLayer<LayerNorm, GatedMlp>>();
}

}  // namespace lmdeploy
