// Granite 3: Llama with constants: of the embeddings, of the attention scores, of the sublayers'
// outputs and of the logits.
#include "models/scaled_residual.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_granite(ConfigReader& reader, const Weights& root,
                                                 const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader);
  const auto constant = [&](const char* key) {
    return reader.optional_double(key, 1.0, 1e-4, 1e4);
  };
  const ResidualScales scales{.embedding = constant("embedding_multiplier"),
                              .sublayer = constant("residual_multiplier"),
                              .logits = 1.0 / constant("logits_scaling")};
  AttentionConfig attention = config.attention();
  attention.scale = static_cast<float>(constant("attention_multiplier"));
  RETURN_IF_ERROR(reader.status());
  return make_scaled_residual(config, attention, scales, root, options);
}

}  // namespace lmdeploy
