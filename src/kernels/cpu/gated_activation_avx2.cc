#include "kernels/cpu/gated_activation_body.h"
#include "kernels/cpu/vec_avx2.h"

namespace lmdeploy::cpu {

void gated_activation_rows_avx2(const GatedActivationArgs& args, int64_t begin, int64_t end) {
  gated_activation_rows<avx2::F32Vec>(args, begin, end);
}

}  // namespace lmdeploy::cpu
