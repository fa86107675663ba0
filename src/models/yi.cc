// Yi as it was first uploaded: Llama's layer with other names for its norms (later copies are
// LlamaForCausalLM).
#include "models/pre_norm_block.h"
#include "models/registry.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_yi(ConfigReader& reader, const Weights& root,
                                            const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader);
  RETURN_IF_ERROR(reader.status());
  const std::vector<int> no_windows(static_cast<size_t>(config.layers), 0);
  constexpr PreNormNames kNames = {.input_norm = "ln1", .post_norm = "ln2"};
  return make_decoder<PreNormBlock>(root, options, config, decoder_parts(config, no_windows),
                                    [&](const Weights& weights, int layer) {
                                      return std::make_unique<PreNormBlock>(
                                          weights, options, config.norm(), config.attention(),
                                          config.mlp(), layer, kNames);
                                    });
}

}  // namespace lmdeploy
