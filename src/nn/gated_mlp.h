// GatedMlp: down( act(gate x) * (up x) ).
#pragma once

#include "nn/linear.h"
#include "nn/step.h"

namespace lmdeploy {

struct GatedMlpConfig {
  int64_t hidden = 0;
  int64_t intermediate = 0;
  Activation activation = Activation::kSilu;
  Bias bias = Bias::kNone;
};

// The Activation that Hugging Face calls `name` ("silu", "gelu_pytorch_tanh"); nullopt: unknown.
std::optional<Activation> activation_named(std::string_view name);
// The names that activation_named() knows, for messages.
std::string known_activations();

class GatedMlp {
 public:
  // Reads gate_proj, up_proj and down_proj under `weights`.
  GatedMlp(const Weights& weights, const BuildOptions& options, const GatedMlpConfig& config);

  // x f32 [T, hidden]; out f32 [T, hidden] is stored, or added to.
  void forward(const Step& step, const TensorView& x, const TensorView& out,
               MatmulEpilogue epilogue) const;
  size_t bytes() const { return gate_up_.bytes() + down_.bytes(); }

 private:
  Activation activation_;
  Linear gate_up_, down_;
};

}  // namespace lmdeploy
