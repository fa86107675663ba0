// Gemma 3, the text part: norms hold w - 1; each sublayer's output is normed before it joins the
// residual stream; q and k are normed per head; five layers with a sliding window and a rotation of
// their own to one that sees everything; embeddings times sqrt(hidden); tanh GELU.
#include <fmt/format.h>

#include <cmath>

#include "models/registry.h"
#include "nn/attention.h"
#include "nn/gated_mlp.h"
#include "nn/norm.h"

namespace lmdeploy {
namespace {

constexpr size_t kGlobalRope = 0, kLocalRope = 1;

struct Gemma3Config {
  DecoderConfig decoder;
  RopeConfig local_rope;
  std::vector<int> windows;
  float attention_scale, attention_softcap, logit_softcap;

  NormConfig norm(int64_t size) const {
    return {.size = size, .eps = decoder.norm_eps, .plus_one = true};
  }
};

Gemma3Config read_gemma3_config(ConfigReader& reader) {
  Gemma3Config config;
  config.decoder = read_decoder_config(reader, {.tied = true,
                                                .rope_theta = 1e6,
                                                .activation_key = "hidden_activation",
                                                .activation = "gelu_pytorch_tanh"});
  RopeConfig& global = config.decoder.rope;
  global.max_position_scaled = true;
  config.local_rope = {.rotary_dim = global.rotary_dim,
                       .theta = reader.optional_double("rope_local_base_freq", 1e4,
                                                       kLeastRopeTheta, kLargestRopeTheta),
                       .max_position = global.max_position};
  const int64_t pattern = reader.optional_int("sliding_window_pattern", 6);
  if (pattern < 1) {
    reader.problem(fmt::format("'sliding_window_pattern' is {}; expected at least 1", pattern));
  }
  config.windows = layer_windows(reader, config.decoder.layers, read_sliding_window(reader, 4096),
                                 [&](int layer) { return pattern > 0 && (layer + 1) % pattern != 0; });
  const double scalar = reader.optional_double("query_pre_attn_scalar", 256.0, 1e-6, 1e6);
  config.attention_scale = static_cast<float>(1.0 / std::sqrt(scalar));
  const auto softcap = [&](const char* key) {
    return static_cast<float>(reader.optional_double(key, 0.0, 0.0, 1e6));
  };
  config.attention_softcap = softcap("attn_logit_softcapping");
  config.logit_softcap = softcap("final_logit_softcapping");
  return config;
}

// r += post(attention(norm(r))); r += post(mlp(norm(r))).
class Gemma3Block {
 public:
  using Norm = RmsNorm;

  Gemma3Block(const Weights& weights, const BuildOptions& options, const Gemma3Config& config,
              int layer)
      : input_norm_(weights / "input_layernorm", options, config.norm(config.decoder.hidden)),
        attention_(weights / "self_attn", options, attention_config(config, layer), layer),
        attention_post_norm_(weights / "post_attention_layernorm", options,
                             config.norm(config.decoder.hidden)),
        mlp_norm_(weights / "pre_feedforward_layernorm", options,
                  config.norm(config.decoder.hidden)),
        mlp_(weights / "mlp", options, config.decoder.mlp()),
        mlp_post_norm_(weights / "post_feedforward_layernorm", options,
                       config.norm(config.decoder.hidden)) {
  }

  const RmsNorm& input_norm() const { return input_norm_; }

  void forward(const Step& step, const TensorView& residual, const TensorView& x,
               const RmsNorm& next) const {
    ArenaScope scope(step.ctx.scratch);
    const TensorView delta = step.activations(x.dim(1));
    attention_.forward(step, x, delta, MatmulEpilogue::kStore);
    attention_post_norm_.forward_sandwich(step.ctx, residual, delta, mlp_norm_, x);
    mlp_.forward(step, x, delta, MatmulEpilogue::kStore);
    mlp_post_norm_.forward_sandwich(step.ctx, residual, delta, next, x);
  }

  size_t bytes() const {
    return input_norm_.bytes() + attention_.bytes() + attention_post_norm_.bytes() +
           mlp_norm_.bytes() + mlp_.bytes() + mlp_post_norm_.bytes();
  }

 private:
  static AttentionConfig attention_config(const Gemma3Config& config, int layer) {
    AttentionConfig attention = config.decoder.attention();
    attention.scale = config.attention_scale;
    attention.softcap = config.attention_softcap;
    attention.window = config.windows[static_cast<size_t>(layer)];
    attention.rope = attention.window > 0 ? kLocalRope : kGlobalRope;
    attention.head_norm = config.norm(config.decoder.head_dim);
    return attention;
  }

  RmsNorm input_norm_;
  Attention attention_;
  RmsNorm attention_post_norm_, mlp_norm_;
  GatedMlp mlp_;
  RmsNorm mlp_post_norm_;
};

}  // namespace

Result<std::unique_ptr<BuiltModel>> make_gemma3(ConfigReader& reader, const Weights& root,
                                                const BuildOptions& options) {
  const Gemma3Config config = read_gemma3_config(reader);
  RETURN_IF_ERROR(reader.status());
  if (options.activation_type() == DType::kF16) {
    return unsupported(
        "Gemma 3 does not run in float16 on a GPU: its activations pass the type's largest number; "
        "use --dtype bfloat16 or float32");
  }
  const DecoderConfig& decoder = config.decoder;
  DecoderParts parts{.embedding_scale = std::sqrt(static_cast<float>(decoder.hidden)),
                     .final_norm = config.norm(decoder.hidden),
                     .head = decoder.head(),
                     .ropes = {decoder.rope, config.local_rope},
                     .windows = config.windows};
  parts.head.softcap = config.logit_softcap;
  return make_decoder<Gemma3Block>(
      root, options, decoder, parts, [&](const Weights& weights, int layer) {
        return std::make_unique<Gemma3Block>(weights, options, config, layer);
      });
}

}  // namespace lmdeploy
