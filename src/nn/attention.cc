#include "nn/attention.h"

#include "kernels/attention.h"
#include "kernels/attention_input.h"

namespace lmdeploy {
namespace {

std::vector<Projection> projections(const AttentionConfig& config) {
  const int64_t query_rows = int64_t{config.heads} * config.head_dim;
  const int64_t kv_rows = int64_t{config.kv_heads} * config.head_dim;
  std::vector<Projection> parts = {{"q_proj", query_rows, config.head_dim, config.rotary_dim},
                                   {"k_proj", kv_rows, config.head_dim, config.rotary_dim},
                                   {"v_proj", kv_rows, config.head_dim}};
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
  if (config.head_norm.has_value()) {
    q_norm_.emplace(weights / "q_norm", options, *config.head_norm);
    k_norm_.emplace(weights / "k_norm", options, *config.head_norm);
  }
}

void Attention::forward(const Step& step, const TensorView& x, const TensorView& out,
                        MatmulEpilogue epilogue) const {
  const Batch& batch = step.batch;
  const BatchKvGroup& group = batch.groups[static_cast<size_t>(step.kv.group_of(layer_))];
  ArenaScope scope(step.ctx.scratch);
  const TensorView qkv = step.activations(qkv_.out());
  qkv_.forward(step.ctx, x, qkv);

  AttentionInputParams input{.heads = heads_, .kv_heads = kv_heads_, .head_dim = config_.head_dim};
  if (q_norm_.has_value()) {
    input.q_norm = q_norm_->weight();
    input.k_norm = k_norm_->weight();
    input.norm_eps = q_norm_->eps();
  }
  input.cos_sin = step.cos_sin[config_.rope];
  attention_input(step.ctx, qkv, input, group.slot_map, step.kv.layer(layer_));

  const TensorView context = step.activations(out_.in());
  const AttentionBatch geometry{batch.query_start, batch.kv_len, group.block_table,
                                batch.max_query_len, batch.max_kv_len};
  const AttentionParams params{.heads = heads_,
                               .scale = config_.scale,
                               .window = config_.window,
                               .softcap = config_.softcap,
                               .batch_invariant = step.ctx.batch_invariant};
  paged_attention(step.ctx, qkv.columns(0, out_.in()), step.kv.layer(layer_), geometry, params,
                  context);
  out_.forward(step.ctx, context, out, epilogue);
}

}  // namespace lmdeploy
