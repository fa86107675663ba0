// Mistral: Llama's layer with a sliding window in every layer. sliding_window null (v0.2 and
// later): no window; the key left out: 4096, the class default that v0.1 relies on.
#include "models/pre_norm_block.h"
#include "models/registry.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_mistral(ConfigReader& reader, const Weights& root,
                                                 const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader);
  const std::vector<int> windows(static_cast<size_t>(config.layers),
                                 read_sliding_window(reader, 4096));
  RETURN_IF_ERROR(reader.status());
  AttentionConfig attention = config.attention();
  attention.window = windows.front();
  return make_decoder<PreNormBlock>(root, options, config, decoder_parts(config, windows),
                                    [&](const Weights& weights, int layer) {
                                      return std::make_unique<PreNormBlock>(
                                          weights, options, config.norm(), attention, config.mlp(),
                                          layer);
                                    });
}

}  // namespace lmdeploy
