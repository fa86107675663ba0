#include "nn/qk_norm.h"

#include "kernels/shared_rms_norm.h"
#include "nn/float_load.h"
#include "nn/linear.h"

namespace lmdeploy {
namespace {

// The norm weights of this rank's heads of one projection. Does not move: its declared load points
// to it.
class HeadWeights {
 public:
  HeadWeights(const Weights& weights, const BuildOptions& options, QkNormConfig::Kind kind,
              int heads, const QkNormHeads& shape)
      : kind_(kind), shape_(shape), count_(options.parallel.share_heads(heads)) {
    const int64_t begin = options.parallel.begin_head(heads), dim = shape.head_dim;
    const std::string name = (weights / "weight").name();
    Load load;
    load.name = weights.name();
    load.dummy_mean = 1.0f;
    switch (kind) {
      case QkNormConfig::Kind::kWholeRms:
        load.sources = {{name, Shape{heads * dim}, begin * dim, count_ * dim}};
        break;
      case QkNormConfig::Kind::kHeadLayer:
        load.sources = {{name, Shape{heads, dim}, begin, count_}};
        break;
      case QkNormConfig::Kind::kHeadLayerList:
        for (int head = 0; head < heads; ++head) {
          const std::string own = (weights / "norms" / head / "weight").name();
          const bool others = head < begin || head >= begin + count_;  // another rank's
          if (others) weights.plan().ignore(own);
          if (!others) load.sources.push_back({own, Shape{dim}});
        }
        break;
    }
    load.store = [this, options](std::span<const LoadedSlice> slices) {
      return store(slices, options);
    };
    weights.plan().add(std::move(load));
  }
  HeadWeights(const HeadWeights&) = delete;
  HeadWeights& operator=(const HeadWeights&) = delete;

  // f32 [heads of this rank, head_dim], or of the whole projection [their product], once loaded.
  TensorView view() const { return weight_.view(); }
  size_t bytes() const { return weight_.bytes(); }

 private:
  Status store(std::span<const LoadedSlice> slices, const BuildOptions& options) {
    const int64_t dim = shape_.head_dim;
    std::vector<float> stored(static_cast<size_t>(count_ * dim)), weight;
    float* out = stored.data();
    for (const LoadedSlice& slice : slices) {
      RETURN_IF_ERROR(copy_floats(slice, out));
      out += slice.rows * slice.cols;
    }
    for (int32_t from : rope_row_order(count_ * dim, dim, shape_.interleaved)) {
      weight.push_back(stored[static_cast<size_t>(from)]);
    }
    const bool whole = kind_ == QkNormConfig::Kind::kWholeRms;
    weight_ = float_tensor(weight, whole ? Shape{count_ * dim} : Shape{count_, dim}, options);
    return {};
  }

  QkNormConfig::Kind kind_;
  QkNormHeads shape_;
  int64_t count_;  // heads of this rank
  Tensor weight_;
};

class WeightedQkNorm : public QkNorm {
 public:
  WeightedQkNorm(const Weights& weights, const BuildOptions& options, const QkNormConfig& config,
                 const QkNormHeads& heads)
      : eps_(config.eps),
        q_(weights / config.query, options, config.kind, heads.heads, heads),
        k_(weights / config.key, options, config.kind, heads.kv_heads, heads) {}
  size_t bytes() const override { return q_.bytes() + k_.bytes(); }

 protected:
  float eps_;
  HeadWeights q_, k_;
};

class WholeRmsNorm final : public WeightedQkNorm {
 public:
  using WeightedQkNorm::WeightedQkNorm;

  void forward(Ctx& ctx, const TensorView& q, const TensorView& k) const override {
    if (ctx.ranks != nullptr) return forward_shared(ctx, q, k);
    rms_norm(ctx, q, q_.view(), eps_, q);
    rms_norm(ctx, k, k_.view(), eps_, k);
  }

 private:
  // KV heads that neighbours have twice are in the sum and in the count as often.
  void forward_shared(Ctx& ctx, const TensorView& q, const TensorView& k) const {
    ArenaScope scope(ctx.scratch);
    const TensorView sums = ctx.scratch.allocate(Shape{q.dim(0), 2}, DType::kF32);
    const TensorView of_q = sums.columns(0, 1), of_k = sums.columns(1, 1);
    sum_of_squares(ctx, q, of_q);
    sum_of_squares(ctx, k, of_k);
    ctx.ranks->all_reduce(ctx.stream, sums);
    const int64_t ranks = ctx.ranks->size();
    scale_by_rms(ctx, of_q, ranks * q.dim(1), q_.view(), eps_, q);
    scale_by_rms(ctx, of_k, ranks * k.dim(1), k_.view(), eps_, k);
  }
};

class HeadLayerNorm final : public WeightedQkNorm {
 public:
  using WeightedQkNorm::WeightedQkNorm;

  void forward(Ctx& ctx, const TensorView& q, const TensorView& k) const override {
    head_layer_norm(ctx, q, q_.view(), eps_, q);
    head_layer_norm(ctx, k, k_.view(), eps_, k);
  }
};

}  // namespace

std::unique_ptr<QkNorm> make_qk_norm(const Weights& weights, const BuildOptions& options,
                                     const QkNormConfig& config, const QkNormHeads& heads) {
  if (config.kind == QkNormConfig::Kind::kWholeRms) {
    return std::make_unique<WholeRmsNorm>(weights, options, config, heads);
  }
  return std::make_unique<HeadLayerNorm>(weights, options, config, heads);
}

}  // namespace lmdeploy
