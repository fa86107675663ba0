#include "kernels/cpu/rope_body.h"
#include "kernels/cpu/vec_avx2.h"

namespace lmdeploy::cpu {

void rope_cos_sin_rows_avx2(const RopeCosSinArgs& args, int64_t begin, int64_t end) {
  rope_cos_sin_rows<avx2::F32Vec>(args, begin, end);
}

}  // namespace lmdeploy::cpu
