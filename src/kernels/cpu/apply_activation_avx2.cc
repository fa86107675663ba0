#include "kernels/cpu/apply_activation_body.h"
#include "kernels/cpu/vec_avx2.h"

namespace lmdeploy::cpu {

void activate_avx2(float* x, int64_t count, Activation activation) {
  activate_vectors<avx2::F32Vec>(x, count, activation);
}

}  // namespace lmdeploy::cpu
