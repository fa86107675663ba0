#include "kernels/cuda/attention_sm90.h"

#include <algorithm>

#include "kernels/cuda/tensor_map.h"

namespace lmdeploy::cuda {

namespace {

bool make_map(TensorMapEncoder encode, DType dtype, AttentionSm90Launch& launch) {
  const AttentionLaunch& args = launch.args;
  constexpr cuuint64_t kAllPages = uint64_t{1} << 31;
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(args.head_dim),
                              cuuint64_t{1} << args.block_shift,
                              static_cast<cuuint64_t>(2 * args.kv_heads), kAllPages};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(args.head_dim) * 2,
                                static_cast<cuuint64_t>(args.head_bytes),
                                static_cast<cuuint64_t>(args.page_bytes)};
  const cuuint32_t box[] = {64, static_cast<cuuint32_t>(launch.box_tokens), 1, 1};
  const cuuint32_t steps[] = {1, 1, 1, 1};
  const CUtensorMapDataType type =
      dtype == DType::kF16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  return encode(&launch.kv, type, 4, const_cast<char*>(args.pages), sizes, strides, box, steps,
                CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

}  // namespace

cudaError_t launch_attention_sm90(DType dtype, const AttentionLaunch& args, cudaStream_t stream) {
  const TensorMapEncoder encode = tensor_map_encoder();
  if (encode == nullptr) return cudaErrorNotSupported;
  AttentionSm90Launch launch{.args = args, .box_tokens = std::min(64, 1 << args.block_shift)};
  if (!make_map(encode, dtype, launch)) return cudaErrorInvalidValue;
  return dtype == DType::kF16 ? launch_attention_sm90_f16(launch, stream)
                              : launch_attention_sm90_bf16(launch, stream);
}

}  // namespace lmdeploy::cuda
