#include "kernels/cpu/apply_activation_body.h"
#include "kernels/cpu/vec_avx512.h"

namespace lmdeploy::cpu {

void activate_avx512(float* x, int64_t count, Activation activation) {
  activate_vectors<avx512::F32Vec>(x, count, activation);
}

}  // namespace lmdeploy::cpu
