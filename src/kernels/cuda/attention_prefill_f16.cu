#include "kernels/cuda/attention_prefill.cuh"

namespace lmdeploy::cuda {

cudaError_t launch_attention_prefill_f16(const AttentionLaunch& args, cudaStream_t stream) {
  return prefill::launch_prefill<__half>(args, stream);
}

}  // namespace lmdeploy::cuda
