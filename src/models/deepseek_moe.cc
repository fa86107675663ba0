// DeepSeek-MoE 16B: Llama's attention; dense first layers, then experts beside MLPs for every
// token.
#include "models/moe_config.h"
#include "models/registry.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_deepseek_moe(ConfigReader& reader, const Weights& root,
                                                      const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader);
  const std::vector<bool> sparse = deepseek_sparse_layers(reader, config.layers);
  const MoeConfig moe = read_deepseek_moe_config(reader, config);
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(check_split(moe, options.parallel));
  const std::vector<int> no_windows(static_cast<size_t>(config.layers), 0);
  return make_decoder<SparseBlock>(root, options, config, decoder_parts(config, no_windows),
                                   [&](const Weights& weights, int layer) {
                                     SparseMlpConfig mlp{.dense = config.mlp()};
                                     if (sparse[static_cast<size_t>(layer)]) mlp.moe = moe;
                                     return std::make_unique<SparseBlock>(
                                         weights, options, config.norm(), config.attention(), mlp,
                                         layer);
                                   });
}

}  // namespace lmdeploy
