// gpt-oss: attention with a sink a head, q, k, v and o biases and a window in every other layer,
// from the first on; in every layer experts with biases and a clamped gate, whose weights are the
// softmax of the chosen logits.
#include <fmt/format.h>

#include "models/moe_config.h"
#include "models/registry.h"

namespace lmdeploy {
namespace {

// The gate's numbers are part of the kernels.
void check_gate(ConfigReader& reader) {
  const auto check = [&](const char* key, double known) {
    const double value = reader.optional_double(key, known);
    if (value == known) return;
    reader.problem(fmt::format("'{}' is {}; only {} is supported", key, value, known));
  };
  check("swiglu_limit", 7.0);
  check("swiglu_alpha", 1.702);
}

}  // namespace

Result<std::unique_ptr<BuiltModel>> make_gpt_oss(ConfigReader& reader, const Weights& root,
                                                 const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader, {.rope_theta = 150000.0});
  const std::vector<int> windows =
      layer_windows(reader, config.layers, read_sliding_window(reader, 128),
                    [](int layer) { return layer % 2 == 0; });
  MoeConfig moe = read_moe_config(reader, config,
                                  {.experts = "num_local_experts",
                                   .default_experts = 128,
                                   .size = "intermediate_size",
                                   .default_top_k = 4});
  check_gate(reader);
  const bool biased = reader.optional_bool("attention_bias", true);
  RETURN_IF_ERROR(reader.status());
  RETURN_IF_ERROR(check_split(moe, options.parallel));
  moe.routing.renormalize = true;
  moe.activation = Activation::kClampedSwiglu;
  moe.router = "router";
  moe.router_bias = Bias::kRequired;
  moe.form = ExpertForm::kInputFirst;
  moe.names = {.gate = "gate_up_proj", .up = "", .down = "down_proj"};
  moe.expert_bias = true;
  return make_decoder<SparseBlock>(
      root, options, config, decoder_parts(config, windows),
      [&](const Weights& weights, int layer) {
        AttentionConfig attention = config.attention();
        attention.window = windows[static_cast<size_t>(layer)];
        attention.sinks = true;
        attention.qkv_bias = attention.out_bias = biased ? Bias::kRequired : Bias::kNone;
        return std::make_unique<SparseBlock>(weights, options, config.norm(), attention,
                                             SparseMlpConfig{.moe = moe}, layer);
      });
}

}  // namespace lmdeploy
