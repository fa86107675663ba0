#include "kernels/cuda/gemm_sm90.cuh"

namespace lmdeploy::cuda {

cudaError_t launch_heads_bf16_sm90(const GemmSm90Launch& gemm, const GemmPlan& plan,
                                   cudaStream_t stream) {
  return launch_heads<__nv_bfloat16>(gemm, plan, stream);
}

}  // namespace lmdeploy::cuda
