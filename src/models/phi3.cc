// Phi-3, 3.5 and 4 (mini, medium): Llama's layer with q, k and v in one tensor and gate and up in
// another; a sliding window in every layer unless sliding_window is null or absent; longrope.
#include "models/pre_norm_block.h"
#include "models/registry.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_phi3(ConfigReader& reader, const Weights& root,
                                              const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader);
  const std::vector<int> windows(static_cast<size_t>(config.layers),
                                 read_sliding_window(reader, 0));
  RETURN_IF_ERROR(reader.status());
  AttentionConfig attention = config.attention();
  attention.window = windows.front();
  attention.qkv = {QkvLayout::Rows::kStacked, "qkv_proj"};
  GatedMlpConfig mlp = config.mlp();
  mlp.names.gate_up = "gate_up_proj";
  return make_decoder<PreNormBlock>(root, options, config, decoder_parts(config, windows),
                                    [&](const Weights& weights, int layer) {
                                      return std::make_unique<PreNormBlock>(
                                          weights, options, config.norm(), attention, mlp, layer);
                                    });
}

}  // namespace lmdeploy
