// StarCoder2: Llama's attention with biases and a sliding window in every layer, layer norms, and an
// MLP of two matrices with tanh GELU.
#include "models/pre_norm_block.h"
#include "models/registry.h"
#include "nn/mlp.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_starcoder2(ConfigReader& reader, const Weights& root,
                                                    const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader, {.tied = true,
                                                            .activation = "gelu_pytorch_tanh",
                                                            .eps_key = "norm_epsilon",
                                                            .eps = 1e-5});
  const std::vector<int> windows(static_cast<size_t>(config.layers), read_sliding_window(reader, 0));
  RETURN_IF_ERROR(reader.status());
  AttentionConfig attention = config.attention();
  attention.window = windows.front();
  const MlpConfig mlp{.hidden = config.hidden,
                      .intermediate = config.intermediate,
                      .activation = config.activation,
                      .up = "c_fc",
                      .down = "c_proj"};
  using Block = PreNormLayer<LayerNorm, Mlp>;
  return make_decoder<Block>(root, options, config, decoder_parts(config, windows),
                             [&](const Weights& weights, int layer) {
                               return std::make_unique<Block>(weights, options, config.norm(),
                                                              attention, mlp, layer);
                             });
}

}  // namespace lmdeploy
