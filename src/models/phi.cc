// Phi 1, 1.5 and 2: one layer norm feeds attention and an MLP of two matrices side by side; part of
// each head is rotated; biases everywhere, the output matrix included.
#include "models/parallel_block.h"
#include "models/registry.h"
#include "nn/mlp.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_phi(ConfigReader& given, const Weights& root,
                                             const BuildOptions& options) {
  const json::object keys = with_classic_keys(given.object(), {}, {{"partial_rotary_factor", 0.5}});
  ConfigReader reader(keys);
  const DecoderConfig config = read_decoder_config(
      reader, {.activation = "gelu_new", .eps_key = "layer_norm_eps", .eps = 1e-5});
  if (reader.optional_bool("qk_layernorm", false)) {
    reader.problem("'qk_layernorm' is not supported for Phi");
  }
  RETURN_IF_ERROR(reader.status());
  AttentionConfig attention = config.attention();
  attention.out_name = "dense";
  const MlpConfig mlp{.hidden = config.hidden,
                      .intermediate = config.intermediate,
                      .activation = config.activation};
  DecoderParts parts =
      decoder_parts(config, std::vector<int>(static_cast<size_t>(config.layers), 0));
  parts.names.final_norm = "model.final_layernorm";
  using Block = ParallelLayer<LayerNorm, Mlp>;
  return make_decoder<Block>(root, options, config, parts, [&](const Weights& weights, int layer) {
    return std::make_unique<Block>(weights, options, config.norm(), attention, mlp, layer);
  });
}

}  // namespace lmdeploy
