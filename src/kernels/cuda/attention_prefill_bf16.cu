#include "kernels/cuda/attention_prefill.cuh"

namespace lmdeploy::cuda {

cudaError_t launch_attention_prefill_bf16(const AttentionLaunch& args, cudaStream_t stream) {
  return prefill::launch_prefill<__nv_bfloat16>(args, stream);
}

}  // namespace lmdeploy::cuda
