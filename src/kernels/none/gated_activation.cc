#include "kernels/cuda/gated_activation.h"

namespace lmdeploy::cuda {

void gated_activation(Ctx&, const TensorView&, Activation, const TensorView&) {
  CHECK(false, "gated_activation was asked to run on CUDA, but this program was built without it");
}

}  // namespace lmdeploy::cuda
