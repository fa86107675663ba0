#include "kernels/cuda/attention_decode.cuh"

namespace lmdeploy::cuda {

cudaError_t launch_attention_decode_f16(const AttentionLaunch& args, cudaStream_t stream) {
  return decode::launch_decode<__half>(args, stream);
}

}  // namespace lmdeploy::cuda
