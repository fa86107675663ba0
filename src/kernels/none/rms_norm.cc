#include "kernels/cuda/rms_norm.h"

namespace lmdeploy::cuda {

void rms_norm(Ctx&, const TensorView&, const TensorView&, const TensorView&, const TensorView&,
              float, const TensorView&) {
  CHECK(false, "rms_norm was asked to run on CUDA, but this program was built without it");
}

}  // namespace lmdeploy::cuda
