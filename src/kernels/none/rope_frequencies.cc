#include "kernels/cuda/rope_frequencies.h"

namespace lmdeploy::cuda {

void rope_frequencies(Ctx&, const TensorView&, const RopeByLength&, const TensorView&) {
  CHECK(false, "rope_frequencies was asked to run on CUDA, but this program was built without it");
}

}  // namespace lmdeploy::cuda
