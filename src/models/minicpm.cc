// MiniCPM 1 and 2: Llama with constants: embeddings times scale_emb, sublayers' outputs times
// scale_depth / sqrt(layers), the final hidden state divided by hidden_size / dim_model_base.
#include <cmath>

#include "models/scaled_residual.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_minicpm(ConfigReader& reader, const Weights& root,
                                                 const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader, {.tied = true});
  const double depth = reader.optional_double("scale_depth", 1.0, 1e-4, 1e4);
  const auto hidden = static_cast<double>(config.hidden);
  const double base = reader.optional_double("dim_model_base", 1.0, 1.0, hidden);
  const ResidualScales scales{.embedding = reader.optional_double("scale_emb", 1.0, 1e-4, 1e4),
                              .sublayer = depth / std::sqrt(static_cast<double>(config.layers)),
                              .logits = base / hidden};
  if (reader.optional_int("num_experts", 0) > 0) {
    reader.problem("MiniCPM with experts ('num_experts') is not supported");
  }
  RETURN_IF_ERROR(reader.status());
  return make_scaled_residual(config, config.attention(), scales, root, options);
}

}  // namespace lmdeploy
