// ChatGLM 2 and 3 and GLM-4-9B as first published: Llama's layer under names of its own; q, k and v in
// one tensor with biases, gate and up in another; neighbouring dimensions of the first half of each
// head are rotated together.
#include <algorithm>
#include <cctype>

#include "models/pre_norm_block.h"
#include "models/registry.h"

namespace lmdeploy {
namespace {

// Parts of the family's code that no published model leaves on or off.
void refuse_variants(ConfigReader& reader) {
  for (const char* key : {"rmsnorm", "post_layer_norm"}) {
    if (!reader.optional_bool(key, true)) {
      reader.problem(std::string("'") + key + "' is false, which is not supported");
    }
  }
  constexpr const char* kPostNormResidual = "apply_residual_connection_post_layernorm";
  if (reader.optional_bool(kPostNormResidual, false)) {
    reader.problem(std::string("'") + kPostNormResidual + "' is true, which is not supported");
  }
}

// ChatGLM 2's configuration differs from 3's in its name alone.
bool is_chatglm2(ConfigReader& reader) {
  std::string name = reader.optional_string("_name_or_path", "");
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name.find("chatglm2") != std::string::npos;
}

// rope_ratio divides the positions of ChatGLM 2 (32K), as linear scaling does; it stretches the
// base of ChatGLM 3 and GLM-4.
void read_rope_ratio(ConfigReader& reader, RopeConfig& rope) {
  rope.theta = 10000.0;
  const double ratio =
      reader.optional_double("rope_ratio", 1.0, kLeastRopeFactor, kLargestRopeFactor);
  if (!is_chatglm2(reader)) {
    rope.theta *= ratio;
  } else if (ratio != 1.0) {
    rope.type = RopeType::kLinear;
    rope.factor = ratio;
    rope.max_position_scaled = true;
  }
}

DecoderConfig read_chatglm_config(ConfigReader& reader, bool multi_query) {
  DecoderConfig config = read_decoder_config(reader);
  refuse_variants(reader);
  if (!multi_query) config.kv_heads = config.heads;
  config.rope.rotary_dim = config.head_dim / 2;
  read_rope_ratio(reader, config.rope);
  if (config.head_dim % 4 != 0) reader.problem("'kv_channels' must be a multiple of 4");
  return config;
}

}  // namespace

Result<std::unique_ptr<BuiltModel>> make_chatglm(ConfigReader& reader, const Weights& root,
                                                 const BuildOptions& options) {
  const bool multi_query = reader.optional_bool("multi_query_attention", false);
  const DecoderConfig config = read_chatglm_config(reader, multi_query);
  RETURN_IF_ERROR(reader.status());
  AttentionConfig attention = config.attention();
  attention.rope_interleaved = true;
  attention.qkv = {multi_query ? QkvLayout::Rows::kStacked : QkvLayout::Rows::kByKvHead,
                   "query_key_value"};
  attention.out_name = "dense";
  GatedMlpConfig mlp = config.mlp();
  mlp.names = {.down = "dense_4h_to_h", .gate_up = "dense_h_to_4h"};
  DecoderParts parts = decoder_parts(config, std::vector<int>(static_cast<size_t>(config.layers)));
  parts.names = {.embedding = "transformer.embedding.word_embeddings",
                 .layers = "transformer.encoder.layers",
                 .final_norm = "transformer.encoder.final_layernorm",
                 .head = "transformer.output_layer"};
  constexpr PreNormNames kNames = {.attention = "self_attention"};
  return make_decoder<PreNormBlock>(root, options, config, parts,
                                    [&](const Weights& weights, int layer) {
                                      return std::make_unique<PreNormBlock>(
                                          weights, options, config.norm(), attention, mlp, layer,
                                          kNames);
                                    });
}

}  // namespace lmdeploy
