// Gemma 3, the text part: Gemma 2's layer with q and k normed per head; five layers with a sliding
// window and a rotation of their own to one that sees everything.
#include <fmt/format.h>

#include "models/gemma_config.h"
#include "models/registry.h"
#include "models/sandwich_block.h"

namespace lmdeploy {
namespace {

constexpr size_t kGlobalRope = 0, kLocalRope = 1;

struct Gemma3Config {
  GemmaConfig gemma;
  RopeConfig local_rope;
  std::vector<int> windows;

  AttentionConfig attention(int layer) const {
    AttentionConfig attention = gemma.attention();
    attention.window = windows[static_cast<size_t>(layer)];
    attention.rope = attention.window > 0 ? kLocalRope : kGlobalRope;
    attention.head_norm = gemma.norm(gemma.decoder.head_dim);
    return attention;
  }
};

Gemma3Config read_gemma3_config(ConfigReader& reader) {
  Gemma3Config config;
  config.gemma = read_gemma_config(reader, {.rope_theta = 1e6, .attention_scalar = 256.0});
  RopeConfig& global = config.gemma.decoder.rope;
  global.max_position_scaled = true;
  config.local_rope = {.rotary_dim = global.rotary_dim,
                       .theta = reader.optional_double("rope_local_base_freq", 1e4,
                                                       kLeastRopeTheta, kLargestRopeTheta),
                       .max_position = global.max_position};
  const int64_t pattern = reader.optional_int("sliding_window_pattern", 6);
  if (pattern < 1) {
    reader.problem(fmt::format("'sliding_window_pattern' is {}; expected at least 1", pattern));
  }
  config.windows =
      layer_windows(reader, config.gemma.decoder.layers, read_sliding_window(reader, 4096),
                    [&](int layer) { return pattern > 0 && (layer + 1) % pattern != 0; });
  return config;
}

}  // namespace

Result<std::unique_ptr<BuiltModel>> make_gemma3(ConfigReader& reader, const Weights& root,
                                                const BuildOptions& options) {
  const Gemma3Config config = read_gemma3_config(reader);
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(refuse_f16(options, "Gemma 3"));
  const DecoderConfig& decoder = config.gemma.decoder;
  DecoderParts parts = config.gemma.parts(config.windows);
  parts.ropes.push_back(config.local_rope);
  return make_decoder<SandwichBlock>(
      root, options, decoder, parts, [&](const Weights& weights, int layer) {
        return std::make_unique<SandwichBlock>(weights, options, config.gemma.norm(decoder.hidden),
                                               config.attention(layer), decoder.mlp(), layer);
      });
}

}  // namespace lmdeploy
