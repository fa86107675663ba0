#include "kernels/cuda/scale.h"

namespace lmdeploy::cuda {

void scale(Ctx&, const TensorView&, float) {
  CHECK(false, "scale was asked to run on CUDA, but this program was built without it");
}

}  // namespace lmdeploy::cuda
