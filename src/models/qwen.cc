// Qwen (v1): Llama's layer under names of its own, with q, k and v in one tensor with biases; the MLP's
// gate is w2, its up w1; intermediate_size counts both. Beyond seq_length, the length of the training,
// the base of the rotation grows with each doubling (use_dynamic_ntk) and queries become longer
// (use_logn_attn).
#include <fmt/format.h>

#include <algorithm>

#include "models/pre_norm_block.h"
#include "models/registry.h"

namespace lmdeploy {
namespace {

struct QwenConfig {
  DecoderConfig decoder;
  int64_t logn_length = 0;  // 0: off
};

QwenConfig read_qwen_config(ConfigReader& reader) {
  constexpr int64_t kMaxPositions = int64_t{1} << 30;
  QwenConfig config{.decoder = read_decoder_config(reader)};
  DecoderConfig& decoder = config.decoder;
  if (decoder.intermediate % 2 != 0) {
    reader.problem(fmt::format("'intermediate_size' is {}; expected twice the width of the MLP",
                               decoder.intermediate));
  }
  decoder.intermediate = std::max<int64_t>(1, decoder.intermediate / 2);
  decoder.kv_heads = decoder.heads;
  const int64_t trained = reader.required_int("seq_length", 2, kMaxPositions);
  const bool own_scaling = reader.optional_bool("use_dynamic_ntk", false);
  if (own_scaling && decoder.rope.type == RopeType::kDefault) {
    decoder.rope.type = RopeType::kDoublings;
    decoder.rope.original_max_position = trained;
  }
  if (reader.optional_bool("use_logn_attn", false)) config.logn_length = trained;
  return config;
}

}  // namespace

Result<std::unique_ptr<BuiltModel>> make_qwen(ConfigReader& reader, const Weights& root,
                                              const BuildOptions& options) {
  const QwenConfig config = read_qwen_config(reader);
  RETURN_IF_ERROR(reader.status());
  const DecoderConfig& decoder = config.decoder;
  AttentionConfig attention = decoder.attention();
  attention.qkv = {QkvLayout::Rows::kStacked, "c_attn"};
  attention.qkv_bias = Bias::kRequired;
  attention.out_name = "c_proj";
  attention.logn_length = config.logn_length;
  GatedMlpConfig mlp = decoder.mlp();
  mlp.names = {.gate = "w2", .up = "w1", .down = "c_proj"};
  DecoderParts parts = decoder_parts(decoder, std::vector<int>(static_cast<size_t>(decoder.layers)));
  parts.names = {.embedding = "transformer.wte",
                 .layers = "transformer.h",
                 .final_norm = "transformer.ln_f",
                 .head = "lm_head"};
  constexpr PreNormNames kNames = {
      .input_norm = "ln_1", .attention = "attn", .post_norm = "ln_2", .mlp = "mlp"};
  return make_decoder<PreNormBlock>(root, options, decoder, parts,
                                    [&](const Weights& weights, int layer) {
                                      return std::make_unique<PreNormBlock>(
                                          weights, options, decoder.norm(), attention, mlp, layer,
                                          kNames);
                                    });
}

}  // namespace lmdeploy
