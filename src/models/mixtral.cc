// Mixtral: Mistral's attention, and in every layer experts of which a token goes to two, with
// weights that add up to 1.
#include "models/moe_config.h"
#include "models/registry.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_mixtral(ConfigReader& reader, const Weights& root,
                                                 const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader, {.rope_theta = 1e6});
  const std::vector<int> windows(static_cast<size_t>(config.layers),
                                 read_sliding_window(reader, 0));
  MoeConfig moe = read_moe_config(reader, config,
                                  {.experts = "num_local_experts",
                                   .default_experts = 8,
                                   .size = "intermediate_size",
                                   .default_top_k = 2});
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(check_split(moe, options.parallel));
  moe.routing.renormalize = true;
  moe.names = {.gate = "w1", .up = "w3", .down = "w2"};
  AttentionConfig attention = config.attention();
  attention.window = windows.front();
  // Stacked experts have the place of a plain MLP.
  const bool stacked = options.has(root / "model" / "layers" / 0 / "mlp" / "gate" / "weight");
  const PreNormNames names{.mlp = stacked ? "mlp" : "block_sparse_moe"};
  return make_decoder<SparseBlock>(root, options, config, decoder_parts(config, windows),
                                   [&](const Weights& weights, int layer) {
                                     return std::make_unique<SparseBlock>(
                                         weights, options, config.norm(), attention,
                                         SparseMlpConfig{.moe = moe}, layer, names);
                                   });
}

}  // namespace lmdeploy
