#include "nn/qk_norm.h"

#include "nn/float_load.h"
#include "nn/linear.h"

namespace lmdeploy {
namespace {

class WholeRmsNorm final : public QkNorm {
 public:
  WholeRmsNorm(const Weights& weights, const BuildOptions& options, const NormConfig& config)
      : norm_(weights, options, config) {}
  void forward(Ctx& ctx, const TensorView& x) const override { norm_.forward(ctx, x, x); }
  size_t bytes() const override { return norm_.bytes(); }

 private:
  RmsNorm norm_;
};

class HeadLayerNorm final : public QkNorm {
 public:
  HeadLayerNorm(const Weights& weights, const BuildOptions& options, const QkNormConfig& config,
                const QkNormHeads& heads)
      : eps_(config.eps) {
    const int64_t begin = options.parallel.begin_head(heads.heads);
    const int64_t count = options.parallel.share_heads(heads.heads);
    Load load;
    load.name = weights.name();
    load.dummy_mean = 1.0f;
    if (config.kind == QkNormConfig::Kind::kHeadLayer) {
      load.sources = {
          {(weights / "weight").name(), Shape{heads.heads, heads.head_dim}, begin, count}};
    } else {
      for (int head = 0; head < heads.heads; ++head) {
        const std::string name = (weights / "norms" / head / "weight").name();
        if (head >= begin && head < begin + count) {
          load.sources.push_back({name, Shape{heads.head_dim}});
        } else {
          weights.plan().ignore(name);  // another rank's
        }
      }
    }
    load.store = [this, options, heads, count](std::span<const LoadedSlice> slices) {
      return store(slices, options, heads, count);
    };
    weights.plan().add(std::move(load));
  }

  void forward(Ctx& ctx, const TensorView& x) const override {
    head_layer_norm(ctx, x, weight_, eps_, x);
  }
  size_t bytes() const override { return weight_.bytes(); }

 private:
  Status store(std::span<const LoadedSlice> slices, const BuildOptions& options,
               const QkNormHeads& heads, int64_t count) {
    std::vector<float> stored(static_cast<size_t>(count * heads.head_dim));
    float* out = stored.data();
    for (const LoadedSlice& slice : slices) {
      RETURN_IF_ERROR(copy_floats(slice, out));
      out += slice.rows * slice.cols;
    }
    std::vector<float> weight;
    for (int32_t from : rope_row_order(count * heads.head_dim, heads.head_dim, heads.interleaved)) {
      weight.push_back(stored[static_cast<size_t>(from)]);
    }
    weight_ = float_tensor(weight, Shape{count, heads.head_dim}, options);
    return {};
  }

  float eps_;
  Tensor weight_;  // f32 [heads of this rank, head_dim], once loaded
};

}  // namespace

std::unique_ptr<QkNorm> make_qk_norm(const Weights& weights, const BuildOptions& options,
                                     const QkNormConfig& config, const QkNormHeads& heads) {
  if (config.kind == QkNormConfig::Kind::kWholeRms) {
    const NormConfig whole{.size = int64_t{heads.heads} * heads.head_dim, .eps = config.eps};
    return std::make_unique<WholeRmsNorm>(weights, options, whole);
  }
  return std::make_unique<HeadLayerNorm>(weights, options, config, heads);
}

}  // namespace lmdeploy
