#include "kernels/cuda/embedding.h"

namespace lmdeploy::cuda {

void embedding(Ctx&, const TensorView&, const PackedMatrix&, int64_t, float,
               const TensorView&) {
  CHECK(false, "embedding was asked to run on CUDA, but this program was built without it");
}

}  // namespace lmdeploy::cuda
