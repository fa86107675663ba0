#include "kernels/cuda/apply_activation.h"

namespace lmdeploy::cuda {

void apply_activation(Ctx&, const TensorView&, Activation) {
  CHECK(false, "apply_activation was asked to run on CUDA, but this program was built without it");
}

}  // namespace lmdeploy::cuda
