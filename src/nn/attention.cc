#include "nn/attention.h"

#include "kernels/attention.h"
#include "kernels/attention_input.h"
#include "kernels/clamp.h"
#include "kernels/logn_scale.h"
#include "nn/float_load.h"

namespace lmdeploy {
namespace {

std::vector<Projection> projections(const AttentionConfig& config) {
  const int64_t query_rows = int64_t{config.heads} * config.head_dim;
  const int64_t kv_rows = int64_t{config.kv_heads} * config.head_dim;
  std::vector<Projection> parts = {{"q_proj", query_rows, config.head_dim, config.rotary_dim},
                                   {"k_proj", kv_rows, config.head_dim, config.rotary_dim},
                                   {"v_proj", kv_rows, config.head_dim}};
  for (Projection& part : parts) part.interleaved = config.rope_interleaved;
  switch (config.qkv.rows) {
    case QkvLayout::Rows::kStacked: return stacked(config.qkv.name, std::move(parts));
    case QkvLayout::Rows::kByKvHead:
      return stacked_by_group(config.qkv.name, config.kv_heads, std::move(parts));
    case QkvLayout::Rows::kSeparate: break;
  }
  return parts;
}

}  // namespace

Attention::Attention(const Weights& weights, const BuildOptions& options,
                     const AttentionConfig& config, int layer)
    : config_(config),
      layer_(layer),
      heads_(static_cast<int>(options.parallel.share(config.heads))),
      kv_heads_(static_cast<int>(options.parallel.share_heads(config.kv_heads))),
      qkv_(weights, options, config.hidden, projections(config), Split::kRows, config.qkv_bias),
      out_(weights, options, int64_t{config.heads} * config.head_dim,
           {{config.out_name, config.hidden}}, Split::kColumns, config.out_bias) {
  make_norms(weights, options);
  if (config.sinks) declare_sinks(weights, options);
  if (!config.alibi_slopes.empty()) {
    const auto first = static_cast<size_t>(options.parallel.begin(config.heads));
    slopes_ = float_tensor(std::span(config.alibi_slopes).subspan(first, static_cast<size_t>(heads_)),
                           Shape{heads_}, options);
  }
}

void Attention::make_norms(const Weights& weights, const BuildOptions& options) {
  if (config_.head_norm.has_value()) {
    q_norm_.emplace(weights / "q_norm", options, *config_.head_norm);
    k_norm_.emplace(weights / "k_norm", options, *config_.head_norm);
  }
  if (config_.qk_norm.has_value()) {
    qk_norm_ = make_qk_norm(weights, options, *config_.qk_norm,
                            {.heads = config_.heads,
                             .kv_heads = config_.kv_heads,
                             .head_dim = config_.head_dim,
                             .interleaved = config_.rope_interleaved ? config_.rotary_dim : 0});
  }
}

void Attention::declare_sinks(const Weights& weights, const BuildOptions& options) {
  Load load;
  load.name = (weights / "sinks").name();
  load.sources = {{load.name, Shape{config_.heads}, options.parallel.begin(config_.heads), heads_}};
  load.store = [this, options](std::span<const LoadedSlice> slices) {
    std::vector<float> sinks(static_cast<size_t>(heads_));
    RETURN_IF_ERROR(copy_floats(slices[0], sinks.data()));
    sinks_ = float_tensor(sinks, Shape{heads_}, options);
    return Status();
  };
  weights.plan().add(std::move(load));
}

size_t Attention::bytes() const {
  size_t norms = q_norm_.has_value() ? q_norm_->bytes() + k_norm_->bytes() : 0;
  if (qk_norm_ != nullptr) norms += qk_norm_->bytes();
  return qkv_.bytes() + out_.bytes() + norms + sinks_.bytes();
}

void Attention::forward(const Step& step, const TensorView& x, const TensorView& out,
                        MatmulEpilogue epilogue) const {
  ArenaScope scope(step.ctx.scratch);
  const TensorView qkv = step.activations(qkv_.out());
  qkv_.forward(step.ctx, x, qkv);
  if (config_.clip > 0) clamp(step.ctx, qkv, config_.clip);
  if (qk_norm_ != nullptr) {
    const int64_t key_columns = int64_t{kv_heads_} * config_.head_dim;
    qk_norm_->forward(step.ctx, qkv.columns(0, out_.in()), qkv.columns(out_.in(), key_columns));
  }
  write_kv(step, qkv);
  const TensorView context = step.activations(out_.in());
  attend(step, qkv, context);
  out_.forward(step.ctx, context, out, epilogue);
}

void Attention::write_kv(const Step& step, const TensorView& qkv) const {
  AttentionInputParams input{.heads = heads_, .kv_heads = kv_heads_, .head_dim = config_.head_dim};
  if (q_norm_.has_value()) {
    input.q_norm = q_norm_->weight();
    input.k_norm = k_norm_->weight();
    input.norm_eps = q_norm_->eps();
  }
  input.cos_sin = step.cos_sin[config_.rope];
  attention_input(step.ctx, qkv, input, group(step).slot_map, step.kv.layer(layer_));
}

void Attention::attend(const Step& step, const TensorView& qkv, const TensorView& context) const {
  const Batch& batch = step.batch;
  const AttentionBatch geometry{batch.query_start, batch.kv_len, group(step).block_table,
                                batch.max_query_len, batch.max_kv_len};
  const AttentionParams params{.heads = heads_,
                               .scale = config_.scale,
                               .window = config_.window,
                               .softcap = config_.softcap,
                               .alibi_slopes = slopes_,
                               .sinks = sinks_,
                               .batch_invariant = step.ctx.batch_invariant};
  const TensorView queries = qkv.columns(0, out_.in());
  if (config_.logn_length > 0) {
    logn_scale(step.ctx, batch.positions, config_.logn_length, queries);
  }
  paged_attention(step.ctx, queries, step.kv.layer(layer_), geometry, params, context);
}

const BatchKvGroup& Attention::group(const Step& step) const {
  return step.batch.groups[static_cast<size_t>(step.kv.group_of(layer_))];
}

}  // namespace lmdeploy
