#include "nn/latent_attention.h"

#include "kernels/attention.h"
#include "kernels/latent_input.h"

namespace lmdeploy {
namespace {

// Every rank has all rows.
BuildOptions on_every_rank(BuildOptions options) {
  options.parallel = {};
  return options;
}

// Of every head its part without rotation, then of every head the rotated part.
std::vector<Projection> query_projections(const LatentAttentionConfig& config) {
  const int64_t heads = config.heads;
  Projection nope{"", heads * config.nope_dim, config.nope_dim};
  Projection rope{"", heads * config.rope_dim, config.rope_dim, config.rope_dim};
  rope.interleaved = true;
  return stacked_by_group(config.query_rank > 0 ? "q_b_proj" : "q_proj", heads, {nope, rope});
}

std::vector<Projection> latent_projections(const LatentAttentionConfig& config) {
  Projection latent{"", config.latent_dim};
  Projection key{"", config.rope_dim, config.rope_dim, config.rope_dim};
  key.interleaved = true;
  return stacked("kv_a_proj_with_mqa", {latent, key});
}

// Keys of all heads, then values.
std::vector<Projection> expanded_projections(const LatentAttentionConfig& config) {
  const int64_t heads = config.heads;
  return stacked_by_group("kv_b_proj", heads,
                          {{"", heads * config.nope_dim, config.nope_dim},
                           {"", heads * config.value_dim, config.value_dim}});
}

HeadRows key_rows(const LatentAttentionConfig& config) {
  return {.tensor = "kv_b_proj",
          .columns = config.latent_dim,
          .stride = config.nope_dim + config.value_dim,
          .first = 0,
          .rows = config.nope_dim,
          .transposed = true};
}

HeadRows value_rows(const LatentAttentionConfig& config) {
  HeadRows rows = key_rows(config);
  rows.first = config.nope_dim;
  rows.rows = config.value_dim;
  rows.transposed = false;
  return rows;
}

}  // namespace

LatentAttention::LatentAttention(const Weights& weights, const BuildOptions& options,
                                 const LatentAttentionConfig& config, int layer)
    : config_(config),
      layer_(layer),
      heads_(static_cast<int>(options.parallel.share(config.heads))),
      query_(weights, options, config.query_rank > 0 ? config.query_rank : config.hidden,
             query_projections(config), Split::kRows, Bias::kNone),
      latent_(weights, on_every_rank(options), config.hidden, latent_projections(config),
              Split::kRows, config.bias),
      latent_norm_(weights / "kv_a_layernorm", options,
                   {.size = config.latent_dim, .eps = config.norm_eps}),
      key_up_(weights, options, config.heads, key_rows(config)),
      value_up_(weights, options, config.heads, value_rows(config)),
      out_(weights, options, int64_t{config.heads} * config.value_dim, {{"o_proj", config.hidden}},
           Split::kColumns, config.bias) {
  if (options.stream != nullptr && !options.batch_invariant &&
      can_expand_attention(*options.stream, options.activation_type(), dims())) {
    expand_ = std::make_unique<Linear>(weights, options, config.latent_dim,
                                       expanded_projections(config), Split::kRows, Bias::kNone);
  }
  if (config.query_rank == 0) return;
  query_down_ = std::make_unique<Linear>(
      weights, on_every_rank(options), config.hidden,
      std::vector<Projection>{{"q_a_proj", config.query_rank}}, Split::kRows, config.bias);
  query_norm_ = std::make_unique<RmsNorm>(
      weights / "q_a_layernorm", options,
      NormConfig{.size = config.query_rank, .eps = config.norm_eps});
}

size_t LatentAttention::bytes() const {
  const size_t down =
      query_down_ == nullptr ? 0 : query_down_->bytes() + query_norm_->bytes();
  const size_t expand = expand_ == nullptr ? 0 : expand_->bytes();
  return down + expand + query_.bytes() + latent_.bytes() + latent_norm_.bytes() +
         key_up_.bytes() + value_up_.bytes() + out_.bytes();
}

void LatentAttention::forward(const Step& step, const TensorView& x, const TensorView& out,
                              MatmulEpilogue epilogue) const {
  ArenaScope scope(step.ctx.scratch);
  const int64_t nope = int64_t{heads_} * config_.nope_dim, rope = int64_t{heads_} * config_.rope_dim;
  const TensorView heads = queries(step, x);
  const TensorView latent = step.activations(config_.head_dim());
  latent_.forward(step.ctx, x, latent);

  const Batch& batch = step.batch;
  const bool expanded = expands(step);
  const bool all_expanded = expanded && batch.num_sequences == 1;
  const TensorView query = step.activations(int64_t{heads_} * config_.head_dim());
  if (!all_expanded) {
    key_up_.forward(step.ctx, heads.columns(0, nope), config_.nope_dim, query, config_.head_dim());
  }
  const size_t group = static_cast<size_t>(step.kv.group_of(layer_));
  const LatentInputParams input{.heads = heads_,
                                .latent_dim = config_.latent_dim,
                                .norm = latent_norm_.weight(),
                                .norm_eps = latent_norm_.eps(),
                                .cos_sin = step.cos_sin[0]};
  latent_input(step.ctx, latent, heads.columns(nope, rope), input, batch.groups[group].slot_map,
               step.kv.layer(layer_), query);

  const TensorView context = step.activations(query.dim(1));
  const TensorView values = step.activations(out_.in());
  if (!all_expanded) {
    attend(step, query, context);
    value_up_.forward(step.ctx, context, config_.head_dim(), values, config_.value_dim);
  }
  if (expanded) attend_expanded(step, heads, query, latent, values);
  out_.forward(step.ctx, values, out, epilogue);
}

TensorView LatentAttention::queries(const Step& step, const TensorView& x) const {
  const TensorView heads = step.activations(query_.out());
  if (query_down_ == nullptr) {
    query_.forward(step.ctx, x, heads);
    return heads;
  }
  const TensorView compressed = step.activations(query_down_->out());
  query_down_->forward(step.ctx, x, compressed);
  query_norm_->forward(step.ctx, compressed, compressed);
  query_.forward(step.ctx, compressed, heads);
  return heads;
}

bool LatentAttention::expands(const Step& step) const {
  const Batch& batch = step.batch;
  const bool may_be_whole = batch.num_sequences > 1 || batch.max_kv_len == batch.max_query_len;
  return expand_ != nullptr && !step.ctx.batch_invariant && may_be_whole &&
         batch.max_query_len >= kLeastExpandedQueries;
}

void LatentAttention::attend(const Step& step, const TensorView& query,
                             const TensorView& context) const {
  const Batch& batch = step.batch;
  const size_t group = static_cast<size_t>(step.kv.group_of(layer_));
  const AttentionBatch geometry{batch.query_start, batch.kv_len, batch.groups[group].block_table,
                                batch.max_query_len, batch.max_kv_len};
  const AttentionParams params{.heads = heads_,
                               .scale = config_.scale,
                               .batch_invariant = step.ctx.batch_invariant,
                               .leaves_whole_prompts = expands(step)};
  paged_attention(step.ctx, query, step.kv.layer(layer_), geometry, params, context);
}

void LatentAttention::attend_expanded(const Step& step, const TensorView& heads,
                                      const TensorView& query, const TensorView& latent,
                                      const TensorView& values) const {
  ArenaScope scope(step.ctx.scratch);
  const int64_t nope = int64_t{heads_} * config_.nope_dim, latent_dim = config_.latent_dim;
  const TensorView expanded = step.activations(expand_->out());
  expand_->forward(step.ctx, latent.columns(0, latent_dim), expanded);
  const ExpandedInputs in{.q_nope = heads.columns(0, nope),
                          .q_rope = query.columns(latent_dim, query.dim(1) - latent_dim),
                          .rope_step = config_.head_dim(),
                          .keys = expanded.columns(0, nope),
                          .k_rope = latent.columns(latent_dim, config_.rope_dim),
                          .values = expanded.columns(nope, out_.in())};
  const Batch& batch = step.batch;
  const size_t group = static_cast<size_t>(step.kv.group_of(layer_));
  const AttentionBatch geometry{batch.query_start, batch.kv_len, batch.groups[group].block_table,
                                batch.max_query_len, batch.max_kv_len};
  expanded_attention(step.ctx, in, geometry,
                     {.heads = heads_, .dims = dims(), .scale = config_.scale}, values);
}

}  // namespace lmdeploy
