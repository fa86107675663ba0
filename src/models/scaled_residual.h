// Llama's layers whose outputs are multiplied by a constant m before they join the residual stream.
// The stream is kept divided by m instead: embeddings are multiplied by scale / m, and norms, which do
// not see the scale of their input, use eps / m^2. That is the same function, and outputs are added as
// they are.
#pragma once

#include "models/pre_norm_block.h"
#include "models/registry.h"

namespace lmdeploy {

struct ResidualScales {
  double embedding = 1;  // of the embeddings
  double sublayer = 1;   // m
  double logits = 1;
};

inline Result<std::unique_ptr<BuiltModel>> make_scaled_residual(DecoderConfig config,
                                                                const AttentionConfig& attention,
                                                                const ResidualScales& scales,
                                                                const Weights& root,
                                                                const BuildOptions& options) {
  config.norm_eps = static_cast<float>(config.norm_eps / (scales.sublayer * scales.sublayer));
  DecoderParts parts =
      decoder_parts(config, std::vector<int>(static_cast<size_t>(config.layers), 0));
  parts.embedding_scale = static_cast<float>(scales.embedding / scales.sublayer);
  parts.embedding_scale_rounded = false;
  parts.head.scale = static_cast<float>(scales.logits);
  return make_decoder<PreNormBlock>(
      root, options, config, parts, [&](const Weights& weights, int layer) {
        return std::make_unique<PreNormBlock>(weights, options, config.norm(), attention,
                                              config.mlp(), layer);
      });
}

}  // namespace lmdeploy
