#include "kernels/cpu/softcap_body.h"
#include "kernels/cpu/vec_avx512.h"

namespace lmdeploy::cpu {

void softcap_avx512(float* x, int64_t count, float cap) {
  softcap_vectors<avx512::F32Vec>(x, count, cap);
}

}  // namespace lmdeploy::cpu
