// RmsNorm: y = x * rsqrt(mean(x^2) + eps) * w (kernels/rms_norm.h), w in fp32.
// LayerNorm: the same around the mean, plus a bias (kernels/layer_norm.h).
#pragma once

#include "checkpoint/load_plan.h"
#include "kernels/layer_norm.h"
#include "kernels/rms_norm.h"
#include "nn/build_options.h"

namespace lmdeploy {

struct NormConfig {
  int64_t size = 0;
  float eps = 1e-6f;
  bool plus_one = false;  // the checkpoint holds w - 1 (Gemma), unless a converter added it already
};

// Does not move: its declared load points to it.
class RmsNorm {
 public:
  // Reads `weights`.weight [size].
  RmsNorm(const Weights& weights, const BuildOptions& options, const NormConfig& config);
  RmsNorm(const RmsNorm&) = delete;
  RmsNorm& operator=(const RmsNorm&) = delete;

  // x, out [T, size]; out may be x.
  void forward(Ctx& ctx, const TensorView& x, const TensorView& out) const {
    rms_norm(ctx, x, weight_, eps_, out);
  }
  // residual += this(delta); out = next(residual): a norm on a sublayer's output. All [T, size].
  void forward_sandwich(Ctx& ctx, const TensorView& residual, const TensorView& delta,
                        const RmsNorm& next, const TensorView& out) const {
    sandwich_rms_norm(ctx, residual, delta, weight_, next.weight_, eps_, out);
  }
  const TensorView& weight() const { return weight_.view(); }
  float eps() const { return eps_; }
  size_t bytes() const { return weight_.bytes(); }

 private:
  float eps_;
  Tensor weight_;  // f32 [size], once loaded
};

// Does not move: its declared loads point to it.
class LayerNorm {
 public:
  // Reads `weights`.weight [size] and, where the checkpoint has it, `weights`.bias [size].
  LayerNorm(const Weights& weights, const BuildOptions& options, const NormConfig& config);
  LayerNorm(const LayerNorm&) = delete;
  LayerNorm& operator=(const LayerNorm&) = delete;

  // x, out [T, size]; out may be x.
  void forward(Ctx& ctx, const TensorView& x, const TensorView& out) const {
    layer_norm(ctx, x, weight_, bias_, eps_, out);
  }
  size_t bytes() const { return weight_.bytes() + bias_.bytes(); }

 private:
  float eps_;
  Tensor weight_;  // f32 [size], once loaded
  Tensor bias_;    // f32 [size], or empty
};

}  // namespace lmdeploy
