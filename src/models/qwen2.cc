// Qwen 1.5, 2 and 2.5: Llama's layer with biases on q, k and v; optionally a sliding window in the
// layers from max_window_layers on.
#include "models/pre_norm_block.h"
#include "models/registry.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_qwen2(ConfigReader& reader, const Weights& root,
                                               const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader);
  const std::vector<int> windows = qwen_windows(reader, config.layers);
  RETURN_IF_ERROR(reader.status());
  return make_decoder<PreNormBlock>(root, options, config, decoder_parts(config, windows),
                                    [&](const Weights& weights, int layer) {
                                      AttentionConfig attention = config.attention();
                                      attention.window = windows[static_cast<size_t>(layer)];
                                      attention.qkv_bias = Bias::kRequired;
                                      attention.out_bias = Bias::kNone;
                                      return std::make_unique<PreNormBlock>(
                                          weights, options, config.norm(), attention, config.mlp(),
                                          layer);
                                    });
}

}  // namespace lmdeploy
