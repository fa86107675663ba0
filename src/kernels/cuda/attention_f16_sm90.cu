#include "kernels/cuda/attention_sm90.cuh"

namespace lmdeploy::cuda {

cudaError_t launch_attention_sm90_f16(const AttentionSm90Launch& launch, cudaStream_t stream) {
  return sm90::launch_kernel<__half>(launch, stream);
}

}  // namespace lmdeploy::cuda
