#include "kernels/cuda/matmul.h"

namespace lmdeploy::cuda {

void matmul(Ctx&, const TensorView&, const PackedMatrix&, const TensorView&, const TensorView&,
            MatmulEpilogue) {
  CHECK(false, "matmul was asked to run on CUDA, but this program was built without it");
}

}  // namespace lmdeploy::cuda
