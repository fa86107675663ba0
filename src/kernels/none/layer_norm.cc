#include "kernels/cuda/layer_norm.h"

namespace lmdeploy::cuda {

void layer_norm(Ctx&, const TensorView&, const TensorView&, const TensorView&, const TensorView&,
                int64_t, float, const TensorView&) {
  CHECK(false, "layer_norm was asked to run on CUDA, but this program was built without it");
}

}  // namespace lmdeploy::cuda
