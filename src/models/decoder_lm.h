// DecoderLm: embedding, a stack of blocks, a final norm and the output matrix: the shape of every
// decoder-only model. What differs is in the Block.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/gather_rows.h"
#include "models/causal_lm.h"
#include "models/decoder_config.h"
#include "nn/embedding_table.h"
#include "nn/kv_groups.h"
#include "nn/lm_head.h"
#include "nn/rotary_embedding.h"

namespace lmdeploy {

// Where a checkpoint keeps them.
struct DecoderNames {
  const char* embedding = "model.embed_tokens";
  const char* layers = "model.layers";  // layer i is under LAYERS.i
  const char* final_norm = "model.norm";
  const char* head = "lm_head";
};

// What stands around the blocks.
struct DecoderParts {
  float embedding_scale = 1.0f;
  bool embedding_scale_rounded = true;  // to the embedding's type
  NormConfig final_norm;
  LmHeadConfig head;
  std::vector<RopeConfig> ropes;  // Attention refers to them by index; empty: nothing is rotated
  std::vector<int> windows;       // of each layer, 0: full
  int latent_dim = 0;             // of a latent cache (nn/kv_cache.h)
  int64_t max_position = 0;       // 0: that of the first rope
  DecoderNames names;
};

// The parts that `config` describes, all layers with one rotary embedding.
inline DecoderParts decoder_parts(const DecoderConfig& config, std::vector<int> windows) {
  return {.final_norm = config.norm(),
          .head = config.head(),
          .ropes = {config.rope},
          .windows = std::move(windows)};
}

// A CausalLm that a registry factory has built and whose declared loads have yet to run.
class BuiltModel : public CausalLm {
 public:
  // Called once when all loads are stored.
  virtual void finish_load() = 0;
};

// A Block has
//   using Norm = RmsNorm;   (of its input; or LayerNorm)
//   const Norm& input_norm() const;
//   void forward(const Step&, const TensorView& residual, const TensorView& x, const Norm& next)
//   const; size_t bytes() const;   (of its weights)
//   int64_t step_columns() const;  (nn/step.h; or none)
//   void forward_last(const Step&, const TensorView& residual, const TensorView& x,
//                     const Norm& next, const TensorView& hidden) const;  (or none)
// forward() takes the residual stream [T, hidden] and, in x, its input_norm; it adds the layer's
// outputs to the residual stream and leaves next(residual) in x. forward_last() is the last layer's,
// where not every token is wanted: next(residual) of batch.logit_rows, in hidden.
template <class Block>
class DecoderLm final : public BuiltModel {
 public:
  // `root`: top of the name tree. make_block(weights, layer) returns the layer's
  // std::unique_ptr<Block>.
  template <class MakeBlock>
  DecoderLm(const Weights& root, const BuildOptions& options, const DecoderConfig& config,
            const DecoderParts& parts, MakeBlock make_block)
      : embedding_(root / parts.names.embedding, options, config.vocab_size, config.hidden,
                   parts.embedding_scale, parts.embedding_scale_rounded),
        final_norm_(root / parts.names.final_norm, options, parts.final_norm),
        head_(root / parts.names.head, options, parts.head, embedding_) {
    for (const RopeConfig& rope : parts.ropes)
      ropes_.push_back(std::make_unique<RotaryEmbedding>(rope, options));
    if (!ropes_.empty()) ropes_.front()->declare_divisors(root, options);
    for (int layer = 0; layer < config.layers; ++layer) {
      blocks_.push_back(make_block(root / parts.names.layers / layer, layer));
    }
    info_ = {.architecture = config.architecture,
             .vocab_size = config.vocab_size,
             .hidden_size = config.hidden,
             .num_layers = config.layers,
             .max_position = parts.max_position > 0 ? parts.max_position
                                                    : parts.ropes.front().usable_positions(),
             .rope_by_length = std::any_of(parts.ropes.begin(), parts.ropes.end(),
                                           [](const RopeConfig& rope) { return rope.by_length(); }),
             .kv_groups = make_kv_groups(
                 parts.windows, static_cast<int>(options.parallel.share_heads(config.kv_heads)),
                 config.head_dim),
             .activations = options.activation_type()};
    for (KvGroup& group : info_.kv_groups) group.latent_dim = parts.latent_dim;
    for (const auto& block : blocks_) {
      info_.step_columns = std::max(info_.step_columns, step_columns_of(*block));
    }
  }

  const ModelInfo& info() const override { return info_; }

  void finish_load() override {
    info_.weight_bytes = embedding_.bytes() + final_norm_.bytes() + head_.bytes();
    for (const auto& rope : ropes_) info_.weight_bytes += rope->bytes();
    for (const auto& block : blocks_) info_.weight_bytes += block->bytes();
  }

  void forward(Ctx& ctx, const Batch& batch, KvCache& kv, const TensorView& hidden) override {
    CHECK(batch.embeddings.empty() && batch.adapter_slots.empty() && batch.tree_mask.empty() &&
              batch.bidirectional_spans.empty(),
          "{} reads text alone", info_.architecture);
    ArenaScope scope(ctx.scratch);
    Step step{.ctx = ctx, .batch = batch, .kv = kv, .activation_type = info_.activations};
    for (size_t i = 0; i < ropes_.size(); ++i) step.cos_sin[i] = ropes_[i]->cos_sin(ctx, batch);
    const TensorView residual = step.activations(info_.hidden_size);
    // Decode steps want every row: the last norm writes them where they are wanted.
    const bool every_row = batch.logit_rows.dim(0) == batch.num_tokens;
    const TensorView x = every_row ? hidden : step.activations(info_.hidden_size);
    embedding_.forward(step, residual);
    blocks_.front()->input_norm().forward(ctx, residual, x);
    for (size_t i = 0; i + 1 < blocks_.size(); ++i) {
      blocks_[i]->forward(step, residual, x, blocks_[i + 1]->input_norm());
    }
    if (every_row) return blocks_.back()->forward(step, residual, x, final_norm_);
    forward_last(step, residual, x, hidden);
  }

  void logits(Ctx& ctx, const TensorView& hidden, const TensorView& logits) override {
    head_.forward(ctx, hidden, logits);
  }

 private:
  void forward_last(const Step& step, const TensorView& residual, const TensorView& x,
                    const TensorView& hidden) const {
    const Block& last = *blocks_.back();
    if constexpr (requires { last.forward_last(step, residual, x, final_norm_, hidden); }) {
      last.forward_last(step, residual, x, final_norm_, hidden);
    } else {
      last.forward(step, residual, x, final_norm_);
      gather_rows(step.ctx, x, step.batch.logit_rows, hidden);
    }
  }

  ModelInfo info_;
  EmbeddingTable embedding_;
  std::vector<std::unique_ptr<RotaryEmbedding>> ropes_;
  std::vector<std::unique_ptr<Block>> blocks_;
  typename Block::Norm final_norm_;
  LmHead head_;
};

// Arguments as DecoderLm's constructor; kUnsupported when the ranks cannot share the model.
template <class Block, class MakeBlock>
Result<std::unique_ptr<BuiltModel>> make_decoder(const Weights& root, const BuildOptions& options,
                                                 const DecoderConfig& config,
                                                 const DecoderParts& parts, MakeBlock make_block) {
  RETURN_IF_ERROR(check_split(config, options.parallel));
  return std::unique_ptr<BuiltModel>(
      std::make_unique<DecoderLm<Block>>(root, options, config, parts, make_block));
}

}  // namespace lmdeploy
