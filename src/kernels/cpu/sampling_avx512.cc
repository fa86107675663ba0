#include "kernels/cpu/sampling_body.h"
#include "kernels/cpu/vec_avx512.h"

namespace lmdeploy::cpu {

SamplingKernels sampling_kernels_avx512() { return sampling_kernels<avx512::F32Vec>(); }

}  // namespace lmdeploy::cpu
