#include "kernels/cpu/rms_norm_body.h"
#include "kernels/cpu/vec_avx2.h"

namespace lmdeploy::cpu {

void rms_norm_rows_avx2(const RmsNormArgs& args, int64_t begin, int64_t end) {
  rms_norm_rows<avx2::F32Vec>(args, begin, end);
}

}  // namespace lmdeploy::cpu
