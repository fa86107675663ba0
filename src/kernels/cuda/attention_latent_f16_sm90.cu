#include "kernels/cuda/attention_latent_sm90.cuh"

namespace lmdeploy::cuda {

cudaError_t launch_latent_sm90_f16(const AttentionSm90Launch& launch, cudaStream_t stream) {
  return sm90::launch_latent<__half>(launch, stream);
}

}  // namespace lmdeploy::cuda
