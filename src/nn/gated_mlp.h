// GatedMlp: down( act(gate x) * (up x) ).
#pragma once

#include "nn/linear.h"
#include "nn/step.h"

namespace lmdeploy {

// How a checkpoint names the matrices.
struct GatedMlpNames {
  const char* gate = "gate_proj";
  const char* up = "up_proj";
  const char* down = "down_proj";
  const char* gate_up = nullptr;  // of one tensor: gate's rows, then up's; nullptr: there are two
};

struct GatedMlpConfig {
  int64_t hidden = 0;
  int64_t intermediate = 0;
  Activation activation = Activation::kSilu;
  Bias bias = Bias::kNone;
  GatedMlpNames names;
};

// The Activation that Hugging Face calls `name` ("silu", "gelu_pytorch_tanh"); nullopt: unknown.
std::optional<Activation> activation_named(std::string_view name);
// The names that activation_named() knows, for messages.
std::string known_activations();

class GatedMlp {
 public:
  // Reads the matrices of config.names under `weights`.
  GatedMlp(const Weights& weights, const BuildOptions& options, const GatedMlpConfig& config);

  // x f32 [T, hidden]; out f32 [T, hidden] is stored, or added to.
  void forward(const Step& step, const TensorView& x, const TensorView& out,
               MatmulEpilogue epilogue) const;
  // out is stored as this rank's part of the sum over all ranks.
  void forward_part(const Step& step, const TensorView& x, const TensorView& out) const;
  size_t bytes() const { return gate_up_.bytes() + down_.bytes(); }

 private:
  Activation activation_;
  Linear gate_up_, down_;
};

}  // namespace lmdeploy
