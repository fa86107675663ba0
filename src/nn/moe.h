// MoeMlp: a router and gated MLPs, of which each token goes through a few; and what every token goes
// through besides.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>

#include "kernels/moe_mlp.h"
#include "kernels/moe_route.h"
#include "nn/expert_form.h"
#include "nn/gated_mlp.h"

namespace lmdeploy {

struct MoeConfig {
  int64_t hidden = 0;
  int64_t intermediate = 0;  // of an expert
  int experts = 0;
  MoeRouting routing;
  Activation activation = Activation::kSilu;
  const char* router = "gate";
  Bias router_bias = Bias::kNone;
  const char* correction = nullptr;  // "ROUTER.NAME" [E] of the router's choice; nullptr: none
  ExpertForm form = ExpertForm::kSeparate;
  ExpertNames names;
  bool expert_bias = false;  // of the interleaved forms
  int64_t shared_intermediate = 0;  // of the MLP for every token; 0: there is none
  const char* shared = "shared_experts";
  const char* shared_gate = nullptr;  // its factor is sigmoid(this [1, H] x); nullptr: 1
};

// One projection of all experts, filled expert by expert. Does not move.
class ExpertProjection {
 public:
  ExpertProjection(int experts, int64_t n, int64_t k);
  ExpertProjection(const ExpertProjection&) = delete;
  ExpertProjection& operator=(const ExpertProjection&) = delete;

  // Thread-safe for different experts.
  Status store(int expert, const ExpertSlices& slices, const BuildOptions& options,
               const std::string& name);
  const ExpertMatrices& matrices() const { return matrices_; }
  size_t bytes() const { return matrices_.bytes(); }

 private:
  ExpertMatrices matrices_;
  std::once_flag allocated_;  // the one matrix of a GPU
};

// Does not move: its declared loads point to it.
class MoeMlp {
 public:
  // Reads the router, the experts under "experts" in config.form (kSeparate: or stacked as
  // "gate_up_proj" and "down_proj", kInputFirst: or kMxfp4, whichever the checkpoint has) and the
  // shared MLP under `weights`. Ranks have their share of every expert's intermediate elements.
  MoeMlp(const Weights& weights, const BuildOptions& options, const MoeConfig& config);

  // x [T, hidden]; out [T, hidden] is stored, or added to.
  void forward(const Step& step, const TensorView& x, const TensorView& out,
               MatmulEpilogue epilogue) const;
  size_t bytes() const;
  // Elements of scratch that a token takes: the rows of its experts, and what these make of it. (The
  // CPU runs one expert at a time, to which all tokens may go, with gate and up beside their product.)
  int64_t step_columns() const {
    const int64_t products = std::max(config_.routing.top_k, 3);
    return (config_.routing.top_k + 2) * config_.hidden + products * config_.intermediate +
           2 * config_.experts + 3 * config_.shared_intermediate;
  }

 private:
  void declare_experts(const Weights& weights, const BuildOptions& options,
                       std::shared_ptr<const ExpertReader> reader);
  void declare_biases(const Weights& weights, const BuildOptions& options,
                      std::shared_ptr<const ExpertReader> reader);
  void declare_correction(const Weights& weights, const BuildOptions& options);
  MoeShared shared(const Step& step, const TensorView& x) const;

  MoeConfig config_;
  Linear router_;
  ExpertProjection gate_up_, down_;
  Tensor gate_up_bias_, down_bias_;  // f32 [E, 2 I], [E, H], or empty
  Tensor correction_;                // f32 [E], or empty
  std::unique_ptr<GatedMlp> shared_;
  std::unique_ptr<Linear> shared_gate_;
};

// The MLP of a model in which some layers have experts and some have not.
struct SparseMlpConfig {
  std::optional<MoeConfig> moe;  // absent: `dense`
  GatedMlpConfig dense;
};

class SparseMlp {
 public:
  SparseMlp(const Weights& weights, const BuildOptions& options, const SparseMlpConfig& config);

  void forward(const Step& step, const TensorView& x, const TensorView& out,
               MatmulEpilogue epilogue) const;
  size_t bytes() const { return moe_ != nullptr ? moe_->bytes() : dense_->bytes(); }
  int64_t step_columns() const { return moe_ != nullptr ? moe_->step_columns() : 0; }

 private:
  std::unique_ptr<MoeMlp> moe_;
  std::unique_ptr<GatedMlp> dense_;
};

}  // namespace lmdeploy
