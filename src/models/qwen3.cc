// Qwen 3 (dense): Llama's layer with an RMS norm over each head of q and k before the rotation, and
// a head dimension of its own.
#include "models/pre_norm_block.h"
#include "models/registry.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_qwen3(ConfigReader& reader, const Weights& root,
                                               const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader);
  const std::vector<int> windows = qwen_windows(reader, config.layers);
  RETURN_IF_ERROR(reader.status());
  return make_decoder<PreNormBlock>(
      root, options, config, decoder_parts(config, windows),
      [&](const Weights& weights, int layer) {
        AttentionConfig attention = config.attention();
        attention.window = windows[static_cast<size_t>(layer)];
        attention.head_norm = NormConfig{.size = config.head_dim, .eps = config.norm_eps};
        return std::make_unique<PreNormBlock>(weights, options, config.norm(), attention,
                                              config.mlp(), layer);
      });
}

}  // namespace lmdeploy
