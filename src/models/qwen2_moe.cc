// Qwen 1.5-MoE and 2-MoE: Qwen 2's attention; experts in the layers that decoder_sparse_step and
// mlp_only_layers leave, beside an MLP for every token whose output has a gate of its own.
#include "models/moe_config.h"
#include "models/registry.h"

namespace lmdeploy {
namespace {

// Every other one of the first max_window_layers, from layer 0 on.
std::vector<int> read_windows(ConfigReader& reader, int layers) {
  const bool used = reader.optional_bool("use_sliding_window", false);
  const int window = used ? read_sliding_window(reader, 4096) : 0;
  const int64_t end = reader.optional_int("max_window_layers", 28);
  return layer_windows(reader, layers, window,
                       [&](int layer) { return layer % 2 == 0 && layer < end; });
}

}  // namespace

Result<std::unique_ptr<BuiltModel>> make_qwen2_moe(ConfigReader& reader, const Weights& root,
                                                   const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader);
  const std::vector<int> windows = read_windows(reader, config.layers);
  const std::vector<bool> sparse = qwen_sparse_layers(reader, config.layers);
  MoeConfig moe = read_moe_config(
      reader, config, {.default_experts = 60, .default_size = 1408, .default_top_k = 4});
  moe.routing.renormalize = reader.optional_bool("norm_topk_prob", false);
  moe.shared_intermediate = read_size(reader, "shared_expert_intermediate_size", 5632);
  const bool biased = reader.optional_bool("qkv_bias", true);
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(check_split(moe, options.parallel));
  moe.shared = "shared_expert";
  moe.shared_gate = "shared_expert_gate";
  return make_decoder<SparseBlock>(root, options, config, decoder_parts(config, windows),
                                   [&](const Weights& weights, int layer) {
                                     const auto index = static_cast<size_t>(layer);
                                     AttentionConfig attention = config.attention();
                                     attention.window = windows[index];
                                     attention.qkv_bias = biased ? Bias::kRequired : Bias::kNone;
                                     attention.out_bias = Bias::kNone;
                                     SparseMlpConfig mlp{.dense = config.mlp()};
                                     if (sparse[index]) mlp.moe = moe;
                                     return std::make_unique<SparseBlock>(
                                         weights, options, config.norm(), attention, mlp, layer);
                                   });
}

}  // namespace lmdeploy
