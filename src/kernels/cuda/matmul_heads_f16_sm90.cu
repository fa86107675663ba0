#include "kernels/cuda/gemm_sm90.cuh"

namespace lmdeploy::cuda {

cudaError_t launch_heads_f16_sm90(const GemmSm90Launch& gemm, const GemmPlan& plan,
                                  cudaStream_t stream) {
  return launch_heads<__half>(gemm, plan, stream);
}

}  // namespace lmdeploy::cuda
