#include "kernels/cpu/softcap_body.h"
#include "kernels/cpu/vec_avx2.h"

namespace lmdeploy::cpu {

void softcap_avx2(float* x, int64_t count, float cap) {
  softcap_vectors<avx2::F32Vec>(x, count, cap);
}

}  // namespace lmdeploy::cpu
