#include "kernels/cpu/rms_norm_body.h"
#include "kernels/cpu/vec_avx512.h"

namespace lmdeploy::cpu {

void rms_norm_rows_avx512(const RmsNormArgs& args, int64_t begin, int64_t end) {
  rms_norm_rows<avx512::F32Vec>(args, begin, end);
}

}  // namespace lmdeploy::cpu
