// Falcon: layer norms, an MLP of two matrices with exact GELU, and three forms of the layer: 7B (one
// norm feeds attention and MLP side by side, one KV head), 40B and 180B (a norm for each of the two,
// KV groups; 11B shares the norm), RW (one after the other, ALiBi instead of a rotation). Under its
// first name, RWForCausalLM, keys have other names.
#include <cmath>

#include "models/parallel_block.h"
#include "models/pre_norm_block.h"
#include "models/registry.h"
#include "nn/alibi.h"
#include "nn/mlp.h"

namespace lmdeploy {
namespace {

constexpr const char* kAttention = "self_attention";

// x = norm(r); y = mlp_norm(r); r += attention(x) + mlp(y).
class TwoNormBlock {
 public:
  using Norm = LayerNorm;

  TwoNormBlock(const Weights& weights, const BuildOptions& options, const NormConfig& norm,
               const AttentionConfig& attention, const MlpConfig& mlp, int layer)
      : attention_norm_(weights / "ln_attn", options, norm),
        mlp_norm_(weights / "ln_mlp", options, norm),
        attention_(weights / kAttention, options, attention, layer),
        mlp_(weights / "mlp", options, mlp) {}

  const LayerNorm& input_norm() const { return attention_norm_; }

  void forward(const Step& step, const TensorView& residual, const TensorView& x,
               const LayerNorm& next) const {
    ArenaScope scope(step.ctx.scratch);
    const TensorView y = step.activations(x.dim(1));
    mlp_norm_.forward(step.ctx, residual, y);
    attention_.forward(step, x, residual, MatmulEpilogue::kAdd);
    mlp_.forward(step, y, residual, MatmulEpilogue::kAdd);
    next.forward(step.ctx, residual, x);
  }

  size_t bytes() const {
    return attention_norm_.bytes() + mlp_norm_.bytes() + attention_.bytes() + mlp_.bytes();
  }

 private:
  LayerNorm attention_norm_, mlp_norm_;
  Attention attention_;
  Mlp mlp_;
};

struct FalconForm {
  bool grouped = false;   // new_decoder_architecture
  bool parallel = true;   // attention beside the MLP
  bool two_norms = false;
  bool multi_query = true;
  bool alibi = false;
};

FalconForm read_form(ConfigReader& reader) {
  FalconForm form;
  const bool named_groups = find(reader.object(), "n_head_kv") != nullptr;  // the first 40B
  form.grouped = reader.optional_bool("new_decoder_architecture", named_groups);
  form.parallel = form.grouped || reader.optional_bool("parallel_attn", true);
  form.two_norms = form.grouped && reader.optional_int("num_ln_in_parallel_attn", 2) == 2;
  form.multi_query = !form.grouped && reader.optional_bool("multi_query", true);
  form.alibi = reader.optional_bool("alibi", false);
  return form;
}

// num_kv_heads is as many as there are heads in saved configurations of one-headed models.
json::object classic_keys(const json::object& given) {
  json::object keys = with_classic_keys(
      given,
      {{"n_layer", "num_hidden_layers"},
       {"n_head", "num_attention_heads"},
       {"n_embed", "hidden_size"},
       {"n_head_kv", "num_key_value_heads"},
       {"num_kv_heads", "num_key_value_heads"},
       {"ffn_hidden_size", "intermediate_size"}},
      {{"max_position_embeddings", 2048}});
  ConfigReader reader(keys);
  const FalconForm form = read_form(reader);
  if (form.multi_query) keys["num_key_value_heads"] = 1;
  if (!form.multi_query && !form.grouped) keys.erase("num_key_value_heads");
  const int64_t hidden = reader.required_int("hidden_size", 1, int64_t{1} << 22);
  if (find(keys, "intermediate_size") == nullptr) keys["intermediate_size"] = 4 * hidden;
  return keys;
}

// The original rounds slopes to bf16 and scales scores after it has added them.
std::vector<float> falcon_slopes(const AttentionConfig& attention) {
  std::vector<float> slopes = alibi_slopes(attention.heads);
  for (float& slope : slopes) slope = to_float(to_bf16(slope)) * attention.scale;
  return slopes;
}

AttentionConfig falcon_attention(const DecoderConfig& config, const FalconForm& form) {
  AttentionConfig attention = config.attention();
  attention.qkv = {.rows = form.multi_query ? QkvLayout::Rows::kStacked : QkvLayout::Rows::kByKvHead,
                   .name = "query_key_value"};
  attention.out_name = "dense";
  if (form.alibi) attention.alibi_slopes = falcon_slopes(attention);
  return attention;
}

}  // namespace

Result<std::unique_ptr<BuiltModel>> make_falcon(ConfigReader& given, const Weights& root,
                                                const BuildOptions& options) {
  const json::object keys = classic_keys(given.object());
  ConfigReader reader(keys);
  const FalconForm form = read_form(reader);
  const DecoderConfig config = read_decoder_config(reader, {.tied = true,
                                                            .activation_key = "activation",
                                                            .activation = "gelu",
                                                            .eps_key = "layer_norm_epsilon",
                                                            .eps = 1e-5});
  if (form.alibi) refuse_rope_scaling(reader, config);
  RETURN_IF_ERROR(reader.status());
  const AttentionConfig attention = falcon_attention(config, form);
  const MlpConfig mlp{.hidden = config.hidden,
                      .intermediate = config.intermediate,
                      .activation = config.activation,
                      .up = "dense_h_to_4h",
                      .down = "dense_4h_to_h"};
  DecoderParts parts =
      decoder_parts(config, std::vector<int>(static_cast<size_t>(config.layers), 0));
  parts.names = {.embedding = "transformer.word_embeddings",
                 .layers = "transformer.h",
                 .final_norm = "transformer.ln_f"};
  if (form.alibi) parts.ropes.clear();
  parts.max_position = config.rope.usable_positions();
  const auto build = [&]<class Block>(const auto&... names) {
    return make_decoder<Block>(
        root, options, config, parts, [&](const Weights& weights, int layer) {
          return std::make_unique<Block>(weights, options, config.norm(), attention, mlp, layer,
                                         names...);
        });
  };
  if (form.two_norms) return build.operator()<TwoNormBlock>();
  if (form.parallel) return build.operator()<ParallelLayer<LayerNorm, Mlp>>(kAttention);
  return build.operator()<PreNormLayer<LayerNorm, Mlp>>(PreNormNames{.attention = kAttention});
}

}  // namespace lmdeploy
