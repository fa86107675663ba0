#include "kernels/cuda/row_map.h"

namespace lmdeploy::cuda {

void scale(Ctx&, const TensorView&, float) {
  CHECK(false, "scale was asked to run on CUDA, but this program was built without it");
}

void clamp(Ctx&, const TensorView&, float) {
  CHECK(false, "clamp was asked to run on CUDA, but this program was built without it");
}

void softcap(Ctx&, const TensorView&, float) {
  CHECK(false, "softcap was asked to run on CUDA, but this program was built without it");
}

void apply_activation(Ctx&, const TensorView&, Activation) {
  CHECK(false, "apply_activation was asked to run on CUDA, but this program was built without it");
}

}  // namespace lmdeploy::cuda
