// InternLM 2 and 2.5: Llama's layer under names of its own, with q, k and v in one tensor: for every
// KV head its query heads, its k and its v. Biases are where the checkpoint has them.
#include "models/pre_norm_block.h"
#include "models/registry.h"

namespace lmdeploy {

Result<std::unique_ptr<BuiltModel>> make_internlm2(ConfigReader& reader, const Weights& root,
                                                   const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader);
  RETURN_IF_ERROR(reader.status());
  AttentionConfig attention = config.attention();
  attention.qkv = {QkvLayout::Rows::kByKvHead, "wqkv"};
  attention.out_name = "wo";
  GatedMlpConfig mlp = config.mlp();
  mlp.names = {.gate = "w1", .up = "w3", .down = "w2"};
  DecoderParts parts = decoder_parts(config, std::vector<int>(static_cast<size_t>(config.layers)));
  parts.names.embedding = "model.tok_embeddings";
  parts.names.head = "output";
  constexpr PreNormNames kNames = {.input_norm = "attention_norm",
                                   .attention = "attention",
                                   .post_norm = "ffn_norm",
                                   .mlp = "feed_forward"};
  return make_decoder<PreNormBlock>(root, options, config, parts,
                                    [&](const Weights& weights, int layer) {
                                      return std::make_unique<PreNormBlock>(
                                          weights, options, config.norm(), attention, mlp, layer,
                                          kNames);
                                    });
}

}  // namespace lmdeploy
