#include "kernels/cuda/random_normal.h"

namespace lmdeploy::cuda {

void random_normal(Ctx&, const RandomNormal&, const TensorView&) {
  CHECK(false, "random_normal was asked to run on CUDA, but this program was built without it");
}

}  // namespace lmdeploy::cuda
