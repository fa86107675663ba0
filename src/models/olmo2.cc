// OLMo 2: sublayers take the residual stream as it is and their outputs are normed; RMS norms over
// the whole q and k projections.
#include "models/registry.h"
#include "nn/attention.h"
#include "nn/gated_mlp.h"

namespace lmdeploy {
namespace {

// r += post(attention(r)); r += post(mlp(r)). x is of no use to the layer but comes out as its next
// reader, the final norm, wants it.
class Olmo2Block {
 public:
  using Norm = RmsNorm;

  Olmo2Block(const Weights& weights, const BuildOptions& options, const DecoderConfig& config,
             const AttentionConfig& attention, int layer)
      : attention_(weights / "self_attn", options, attention, layer),
        attention_norm_(weights / "post_attention_layernorm", options, config.norm()),
        mlp_(weights / "mlp", options, config.mlp()),
        mlp_norm_(weights / "post_feedforward_layernorm", options, config.norm()) {}

  const RmsNorm& input_norm() const { return attention_norm_; }

  void forward(const Step& step, const TensorView& residual, const TensorView& x,
               const RmsNorm& next) const {
    ArenaScope scope(step.ctx.scratch);
    const TensorView delta = step.activations(x.dim(1));
    attention_.forward(step, residual, delta, MatmulEpilogue::kStore);
    attention_norm_.forward_sandwich(step.ctx, residual, delta, mlp_norm_, x);
    mlp_.forward(step, residual, delta, MatmulEpilogue::kStore);
    mlp_norm_.forward_sandwich(step.ctx, residual, delta, next, x);
  }

  size_t bytes() const {
    return attention_.bytes() + attention_norm_.bytes() + mlp_.bytes() + mlp_norm_.bytes();
  }

 private:
  Attention attention_;
  RmsNorm attention_norm_;
  GatedMlp mlp_;
  RmsNorm mlp_norm_;
};

}  // namespace

Result<std::unique_ptr<BuiltModel>> make_olmo2(ConfigReader& reader, const Weights& root,
                                               const BuildOptions& options) {
  const DecoderConfig config = read_decoder_config(reader, {.eps = 1e-5});
  RETURN_IF_ERROR(reader.status());
  AttentionConfig attention = config.attention();
  attention.qk_norm = QkNormConfig{.kind = QkNormConfig::Kind::kWholeRms, .eps = config.norm_eps};
  const std::vector<int> no_windows(static_cast<size_t>(config.layers), 0);
  return make_decoder<Olmo2Block>(root, options, config, decoder_parts(config, no_windows),
                                  [&](const Weights& weights, int layer) {
                                    return std::make_unique<Olmo2Block>(weights, options, config,
                                                                        attention, layer);
                                  });
}

}  // namespace lmdeploy
