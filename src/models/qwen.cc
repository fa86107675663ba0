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

DecoderConfig read_qwen_config(ConfigReader& reader) {
  constexpr int64_t kMaxPositions = int64_t{1} << 30;
  DecoderConfig config = read_decoder_config(reader);
  if (config.intermediate % 2 != 0) {
    reader.problem(fmt::format("'intermediate_size' is {}; expected twice the width of the MLP",
                               config.intermediate));
  }
  config.intermediate = std::max<int64_t>(1, config.intermediate / 2);
  config.kv_heads = config.heads;
  const int64_t trained = reader.required_int("seq_length", 2, kMaxPositions);
  const bool own_scaling = reader.optional_bool("use_dynamic_ntk", false);
  if (own_scaling && config.rope.type == RopeType::kDefault) {
    config.rope.type = RopeType::kDoublings;
    config.rope.original_max_position = trained;
  }
  if (config.logn_length > 0) config.logn_length = trained;
  return config;
}

}  // namespace

Result<std::unique_ptr<BuiltModel>> make_qwen(ConfigReader& reader, const Weights& root,
                                              const BuildOptions& options) {
  const DecoderConfig config = read_qwen_config(reader);
  RETURN_IF_ERROR(reader.status());
  AttentionConfig attention = config.attention();
  attention.qkv = {QkvLayout::Rows::kStacked, "c_attn"};
  attention.qkv_bias = Bias::kRequired;
  attention.out_name = "c_proj";
  GatedMlpConfig mlp = config.mlp();
  mlp.names = {.gate = "w2", .up = "w1", .down = "c_proj"};
  DecoderParts parts = decoder_parts(config, std::vector<int>(static_cast<size_t>(config.layers)));
  parts.names = {.embedding = "transformer.wte",
                 .layers = "transformer.h",
                 .final_norm = "transformer.ln_f",
                 .head = "lm_head"};
  constexpr PreNormNames kNames = {
      .input_norm = "ln_1", .attention = "attn", .post_norm = "ln_2", .mlp = "mlp"};
  return make_decoder<PreNormBlock>(root, options, config, parts,
                                    [&](const Weights& weights, int layer) {
                                      return std::make_unique<PreNormBlock>(
                                          weights, options, config.norm(), attention, mlp, layer,
                                          kNames);
                                    });
}

}  // namespace lmdeploy
