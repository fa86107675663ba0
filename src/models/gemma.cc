// Gemma 1 (and CodeGemma): Llama's layer with norms that hold w - 1, embeddings times sqrt(hidden),
// tanh GELU and a head dimension of its own. Old configurations say hidden_act "gelu", which means
// tanh GELU too: hidden_activation alone is read.
#include "models/gemma_config.h"
#include "models/pre_norm_block.h"
#include "models/registry.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_gemma(ConfigReader& reader, const Weights& root,
                                               const BuildOptions& options) {
  const GemmaConfig config = read_gemma_config(reader);
  RETURN_IF_ERROR(reader.status());
  const DecoderConfig& decoder = config.decoder;
  const std::vector<int> no_windows(static_cast<size_t>(decoder.layers), 0);
  return make_decoder<PreNormBlock>(
      root, options, decoder, config.parts(no_windows), [&](const Weights& weights, int layer) {
        return std::make_unique<PreNormBlock>(weights, options, config.norm(decoder.hidden),
                                              config.attention(), decoder.mlp(), layer);
      });
}

}  // namespace lmdeploy
