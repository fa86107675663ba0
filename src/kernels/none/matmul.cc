#include "kernels/cuda/matmul.h"

namespace lmdeploy::cuda {

void matmul(Ctx&, const TensorView&, const PackedMatrix&, const TensorView&, const TensorView&,
            MatmulEpilogue) {
  CHECK(false, "matmul was asked to run on CUDA, but this program was built without it");
}

bool matmul_gated(Ctx&, const TensorView&, const PackedMatrix&, const TensorView&, Activation,
                  const TensorView&) {
  CHECK(false, "matmul_gated was asked to run on CUDA, but this program was built without it");
}

void matmul_heads(Ctx&, const TensorView&, int64_t, const HeadMatrices&, const TensorView&,
                  int64_t) {
  CHECK(false, "matmul_heads was asked to run on CUDA, but this program was built without it");
}

}  // namespace lmdeploy::cuda
