#include "kernels/cpu/gated_activation_body.h"
#include "kernels/cpu/vec_avx512.h"

namespace lmdeploy::cpu {

void gated_activation_rows_avx512(const GatedActivationArgs& args, int64_t begin, int64_t end) {
  gated_activation_rows<avx512::F32Vec>(args, begin, end);
}

}  // namespace lmdeploy::cpu
