#include "kernels/cpu/sampling_body.h"
#include "kernels/cpu/vec_avx2.h"

namespace lmdeploy::cpu {

SamplingKernels sampling_kernels_avx2() { return sampling_kernels<avx2::F32Vec>(); }

}  // namespace lmdeploy::cpu
