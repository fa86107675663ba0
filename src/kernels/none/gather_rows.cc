#include "kernels/cuda/gather_rows.h"

namespace lmdeploy::cuda {

void gather_rows(Ctx&, const TensorView&, const TensorView&, const TensorView&) {
  CHECK(false, "gather_rows was asked to run on CUDA, but this program was built without it");
}

}  // namespace lmdeploy::cuda
