// Qwen 3-MoE: Qwen 3's attention, and experts in the layers that decoder_sparse_step and
// mlp_only_layers leave.
#include "models/moe_config.h"
#include "models/registry.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_qwen3_moe(ConfigReader& reader, const Weights& root,
                                                   const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader);
  const bool windowed = reader.optional_bool("use_sliding_window", false);
  const std::vector<int> windows(static_cast<size_t>(config.layers),
                                 windowed ? read_sliding_window(reader, 4096) : 0);
  const std::vector<bool> sparse = qwen_sparse_layers(reader, config.layers);
  MoeConfig moe = read_moe_config(
      reader, config, {.default_experts = 128, .default_size = 768, .default_top_k = 8});
  moe.routing.renormalize = reader.optional_bool("norm_topk_prob", false);
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(check_split(moe, options.parallel));
  AttentionConfig attention = config.attention();
  attention.window = windows.front();
  attention.head_norm = NormConfig{.size = config.head_dim, .eps = config.norm_eps};
  return make_decoder<SparseBlock>(root, options, config, decoder_parts(config, windows),
                                   [&](const Weights& weights, int layer) {
                                     SparseMlpConfig mlp{.dense = config.mlp()};
                                     if (sparse[static_cast<size_t>(layer)]) mlp.moe = moe;
                                     return std::make_unique<SparseBlock>(
                                         weights, options, config.norm(), attention, mlp, layer);
                                   });
}

}  // namespace lmdeploy
