#include "kernels/cuda/attention_sm90.h"

#include <algorithm>

#include "kernels/cuda/tensor_map.h"

namespace lmdeploy::cuda {

namespace {

// What a map covers: [pages, heads, tokens, columns], strides in bytes.
struct Mapped {
  const void* data;
  int64_t columns, tokens, heads, pages;
  int64_t token_bytes, head_bytes, page_bytes;
};

bool make_map(TensorMapEncoder encode, DType dtype, const Mapped& mapped, int box_tokens,
              CUtensorMap* map) {
  const cuuint64_t sizes[] = {
      static_cast<cuuint64_t>(mapped.columns), static_cast<cuuint64_t>(mapped.tokens),
      static_cast<cuuint64_t>(mapped.heads), static_cast<cuuint64_t>(mapped.pages)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(mapped.token_bytes),
                                static_cast<cuuint64_t>(mapped.head_bytes),
                                static_cast<cuuint64_t>(mapped.page_bytes)};
  const cuuint32_t box[] = {64, static_cast<cuuint32_t>(box_tokens), 1, 1};
  const cuuint32_t steps[] = {1, 1, 1, 1};
  const CUtensorMapDataType type =
      dtype == DType::kF16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  return encode(map, type, 4, const_cast<void*>(mapped.data), sizes, strides, box, steps,
                CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

// K or V of all heads in the pages, from `data` on.
Mapped in_pages(const AttentionLaunch& args, const char* data) {
  return {.data = data,
          .columns = args.head_dim,
          .tokens = int64_t{1} << args.block_shift,
          .heads = args.kv_heads,
          .pages = int64_t{1} << 31,
          .token_bytes = int64_t{args.head_dim} * 2,
          .head_bytes = args.head_bytes,
          .page_bytes = args.page_bytes};
}

Mapped in_rows(const AttentionLaunch& args, const void* data, int columns, int64_t stride, int heads,
               int step) {
  return {.data = data,
          .columns = columns,
          .tokens = args.tokens,
          .heads = heads,
          .pages = 1,
          .token_bytes = stride * 2,
          .head_bytes = int64_t{step} * 2,
          .page_bytes = stride * 2};
}

}  // namespace

cudaError_t launch_attention_sm90(DType dtype, const AttentionLaunch& args, cudaStream_t stream) {
  const TensorMapEncoder encode = tensor_map_encoder();
  if (encode == nullptr) return cudaErrorNotSupported;
  AttentionSm90Launch launch{.args = args, .box_tokens = std::min(64, 1 << args.block_shift)};
  const bool made =
      make_map(encode, dtype, in_pages(args, args.pages), launch.box_tokens, &launch.keys) &&
      make_map(encode, dtype, in_pages(args, args.pages + args.value_bytes), launch.box_tokens,
               &launch.values);
  if (!made) return cudaErrorInvalidValue;
  return dtype == DType::kF16 ? launch_attention_sm90_f16(launch, stream)
                              : launch_attention_sm90_bf16(launch, stream);
}

cudaError_t launch_latent_sm90(DType dtype, const AttentionLaunch& args, cudaStream_t stream) {
  const TensorMapEncoder encode = tensor_map_encoder();
  if (encode == nullptr) return cudaErrorNotSupported;
  AttentionSm90Launch launch{.args = args, .box_tokens = std::min(64, 1 << args.block_shift)};
  const int64_t row_bytes = int64_t{args.head_dim} * 2;
  const Mapped queries{.data = args.q,
                       .columns = args.head_dim,
                       .tokens = int64_t{args.tokens} * args.heads,
                       .heads = 1,
                       .pages = 1,
                       .token_bytes = row_bytes,
                       .head_bytes = row_bytes,
                       .page_bytes = row_bytes};
  const bool made =
      make_map(encode, dtype, in_pages(args, args.pages), launch.box_tokens, &launch.keys) &&
      make_map(encode, dtype, queries, 64, &launch.queries);
  if (!made) return cudaErrorInvalidValue;
  return dtype == DType::kF16 ? launch_latent_sm90_f16(launch, stream)
                              : launch_latent_sm90_bf16(launch, stream);
}

cudaError_t launch_expanded_sm90(DType dtype, const AttentionLaunch& args,
                                 const ExpandedLaunch& expanded, const ExpandedRows& rows,
                                 cudaStream_t stream) {
  const TensorMapEncoder encode = tensor_map_encoder();
  if (encode == nullptr) return cudaErrorNotSupported;
  AttentionSm90Launch launch{.args = args, .expanded = expanded, .box_tokens = 64};
  const auto make = [&](const Mapped& mapped, CUtensorMap* map) {
    return make_map(encode, dtype, mapped, launch.box_tokens, map);
  };
  const bool made = make(in_rows(args, rows.keys, kExpandedColumns, rows.key_stride, args.kv_heads,
                                 rows.key_step),
                         &launch.keys) &&
                    make(in_rows(args, rows.values, kExpandedColumns, rows.value_stride,
                                 args.kv_heads, rows.value_step),
                         &launch.values) &&
                    make(in_rows(args, rows.rope, kExpandedRope, rows.rope_stride, 1, kExpandedRope),
                         &launch.rope);
  if (!made) return cudaErrorInvalidValue;
  return dtype == DType::kF16 ? launch_expanded_sm90_f16(launch, stream)
                              : launch_expanded_sm90_bf16(launch, stream);
}

}  // namespace lmdeploy::cuda
