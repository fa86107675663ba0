// Llama 1, 2, 3, 3.1 and models saved in their form (CodeLlama, Vicuna, Yi, SmolLM2, ...): pre-norm
// layers, grouped-query attention, half-split rotation with any scaling, gated SiLU MLP. Biases are
// where the checkpoint has them: InternLM 1 (on q, k, v and o) and 3 are this model too, under their
// own names or re-saved under Llama's.
#include "models/pre_norm_block.h"
#include "models/registry.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_llama(ConfigReader& reader, const Weights& root,
                                               const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader);
  RETURN_IF_ERROR(reader.status());
  const std::vector<int> no_windows(static_cast<size_t>(config.layers), 0);
  return make_decoder<PreNormBlock>(root, options, config, decoder_parts(config, no_windows),
                                    [&](const Weights& weights, int layer) {
                                      return std::make_unique<PreNormBlock>(
                                          weights, options, config.norm(), config.attention(),
                                          config.mlp(), layer);
                                    });
}

}  // namespace lmdeploy
