#include "kernels/cpu/attention_body.h"
#include "kernels/cpu/vec_avx2.h"

namespace lmdeploy::cpu {

AttentionKernels attention_kernels_avx2() { return attention_kernels<avx2::F32Vec>(); }

}  // namespace lmdeploy::cpu
