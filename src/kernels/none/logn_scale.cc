#include "kernels/cuda/logn_scale.h"

namespace lmdeploy::cuda {

void logn_scale(Ctx&, const TensorView&, int64_t, const TensorView&) {
  CHECK(false, "logn_scale was asked to run on CUDA, but this program was built without it");
}

}  // namespace lmdeploy::cuda
