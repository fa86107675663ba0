#include "kernels/cpu/attention_body.h"
#include "kernels/cpu/vec_avx512.h"

namespace lmdeploy::cpu {

AttentionKernels attention_kernels_avx512() { return attention_kernels<avx512::F32Vec>(); }

}  // namespace lmdeploy::cpu
