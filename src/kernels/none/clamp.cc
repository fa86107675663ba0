#include "kernels/cuda/clamp.h"

namespace lmdeploy::cuda {

void clamp(Ctx&, const TensorView&, float) {
  CHECK(false, "clamp was asked to run on CUDA, but this program was built without it");
}

}  // namespace lmdeploy::cuda
