// Baichuan and Baichuan 2: Llama with q, k and v in one tensor. The 13B models have ALiBi instead of a
// rotation; the second version divides the rows of its output matrix by their lengths. One class name
// covers several of them, so the configuration decides (models.md 2.6): ALiBi where there is a
// model_max_length and no max_position_embeddings, unit rows where there is version 2's vocabulary
// or z_loss_weight.
#include "models/pre_norm_block.h"
#include "models/registry.h"
#include "nn/alibi.h"

namespace lmdeploy {
namespace {

constexpr int64_t kVocabularyOfVersion2 = 125696;
constexpr int64_t kHeadsOf13B = 40;  // which has ALiBi, whatever keys a copy has gained

}  // namespace

Result<std::unique_ptr<BuiltModel>> make_baichuan(ConfigReader& given, const Weights& root,
                                                  const BuildOptions& options) {
  const bool alibi = find(given.object(), "max_position_embeddings") == nullptr ||
                     given.optional_int("num_attention_heads", 0) == kHeadsOf13B;
  const json::object keys =
      with_classic_keys(given.object(), {{"model_max_length", "max_position_embeddings"}});
  ConfigReader reader(keys);
  const DecoderConfig config = read_decoder_config(reader);
  if (alibi) refuse_rope_scaling(reader, config);
  RETURN_IF_ERROR(reader.status());
  AttentionConfig attention = config.attention();
  attention.qkv = {.rows = QkvLayout::Rows::kStacked, .name = "W_pack"};
  DecoderParts parts =
      decoder_parts(config, std::vector<int>(static_cast<size_t>(config.layers), 0));
  if (alibi) {
    attention.alibi_slopes = alibi_slopes(config.heads);
    parts.ropes.clear();
  }
  parts.max_position = config.rope.usable_positions();
  parts.head.unit_rows =
      config.vocab_size == kVocabularyOfVersion2 || find(keys, "z_loss_weight") != nullptr;
  return make_decoder<PreNormBlock>(
      root, options, config, parts, [&](const Weights& weights, int layer) {
        return std::make_unique<PreNormBlock>(weights, options, config.norm(), attention,
                                              config.mlp(), layer);
      });
}

}  // namespace lmdeploy
