#include "kernels/cuda/attention_decode.cuh"

namespace lmdeploy::cuda {

cudaError_t launch_attention_decode_bf16(const AttentionLaunch& args, cudaStream_t stream) {
  return decode::launch_decode<__nv_bfloat16>(args, stream);
}

}  // namespace lmdeploy::cuda
