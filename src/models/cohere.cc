// Cohere's Command R: one layer norm without bias feeds attention and a gated MLP side by side;
// neighbouring dimensions are rotated together; logits are scaled down. The larger one norms each
// head of q and k (use_qk_norm).
#include <algorithm>

#include "models/parallel_block.h"
#include "models/registry.h"
#include "nn/gated_mlp.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_cohere(ConfigReader& reader, const Weights& root,
                                                const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader, {.tied = true,
                                                            .rope_theta = 500000.0,
                                                            .eps_key = "layer_norm_eps",
                                                            .eps = 1e-5});
  AttentionConfig attention = config.attention();
  attention.rope_interleaved = true;
  if (reader.optional_bool("use_qk_norm", false)) {
    attention.qk_norm =
        QkNormConfig{.kind = QkNormConfig::Kind::kHeadLayer, .eps = config.norm_eps};
  }
  DecoderParts parts =
      decoder_parts(config, std::vector<int>(static_cast<size_t>(config.layers), 0));
  parts.head.scale =
      static_cast<float>(reader.optional_double("logit_scale", 0.0625, 1e-6, 1e6));
  // Command R is trained for more than the positions it declares.
  parts.max_position = std::max(config.rope.usable_positions(),
                                reader.optional_int("model_max_length", 0));
  RETURN_IF_ERROR(reader.status());
  using Block = ParallelLayer<LayerNorm, GatedMlp>;
  return make_decoder<Block>(root, options, config, parts, [&](const Weights& weights, int layer) {
    return std::make_unique<Block>(weights, options, config.norm(), attention, config.mlp(), layer);
  });
}

}  // namespace lmdeploy
