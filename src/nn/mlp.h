// Mlp: down( act(up x) ), without a gate.
#pragma once

#include "nn/gated_mlp.h"

namespace lmdeploy {

struct MlpConfig {
  int64_t hidden = 0;
  int64_t intermediate = 0;
  Activation activation = Activation::kGelu;
  Bias bias = Bias::kIfPresent;
  const char* up = "fc1";
  const char* down = "fc2";
};

class Mlp {
 public:
  // Reads the tensors that the configuration names under `weights`.
  Mlp(const Weights& weights, const BuildOptions& options, const MlpConfig& config);

  // x f32 [T, hidden]; out f32 [T, hidden] is stored, or added to.
  void forward(const Step& step, const TensorView& x, const TensorView& out,
               MatmulEpilogue epilogue) const;
  size_t bytes() const { return up_.bytes() + down_.bytes(); }

 private:
  Activation activation_;
  Linear up_, down_;
};

}  // namespace lmdeploy
