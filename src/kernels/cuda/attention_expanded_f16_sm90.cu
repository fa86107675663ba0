#include "kernels/cuda/attention_sm90.cuh"

namespace lmdeploy::cuda {

cudaError_t launch_expanded_sm90_f16(const AttentionSm90Launch& launch, cudaStream_t stream) {
  return sm90::launch_kernel<__half, sm90::ExpandedHeads>(launch, stream);
}

}  // namespace lmdeploy::cuda
