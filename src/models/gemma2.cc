// Gemma 2: Gemma's parts, each sublayer's output normed before it joins the residual stream, soft
// caps of attention scores and logits, a sliding window in every other layer from the first on.
#include "models/gemma_config.h"
#include "models/registry.h"
#include "models/sandwich_block.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_gemma2(ConfigReader& reader, const Weights& root,
                                                const BuildOptions& options) {
  const GemmaConfig config =
      read_gemma_config(reader, {.attention_scalar = 256.0, .attention_softcap = 50.0, .logit_softcap = 30.0});
  const DecoderConfig& decoder = config.decoder;
  const std::vector<int> windows =
      layer_windows(reader, decoder.layers, read_sliding_window(reader, 4096),
                    [](int layer) { return layer % 2 == 0; });
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(refuse_f16(options, "Gemma 2"));
  return make_decoder<SandwichBlock>(
      root, options, decoder, config.parts(windows), [&](const Weights& weights, int layer) {
        AttentionConfig attention = config.attention();
        attention.window = windows[static_cast<size_t>(layer)];
        return std::make_unique<SandwichBlock>(weights, options, config.norm(decoder.hidden),
                                               attention, decoder.mlp(), layer);
      });
}

}  // namespace lmdeploy
