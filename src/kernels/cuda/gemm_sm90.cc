#include "kernels/cuda/gemm_sm90.h"

#include <algorithm>
#include <bit>

#include "kernels/cuda/tensor_map.h"

namespace lmdeploy::cuda {

namespace {

// Boxes [box_rows, 64] of a [rows, k] matrix; what lies behind the ends reads as zeros.
bool make_map(TensorMapEncoder encode, const void* matrix, DType dtype, int64_t rows, int64_t k,
              int64_t stride, int box_rows, CUtensorMap* map) {
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(k), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(stride) * 2};
  const cuuint32_t box[] = {kGemmSm90BlockK, static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t steps[] = {1, 1};
  const CUtensorMapDataType type =
      dtype == DType::kF16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  return encode(map, type, 2, const_cast<void*>(matrix), sizes, strides, box, steps,
                CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

// Copies left to issue when the next kernel may start. Behind a projection that widens come kernels
// that stream no weights: attention reads K and V of earlier steps while this one ends. Another
// product's weights would only delay its last ones, and so does that in a short product.
int next_at(const GemmLaunch& gemm, const GemmPlan& plan, const GemmGate& gate) {
  if (plan.tile_t > 32) return 0;
  return !gate.on && gemm.output.n > gemm.k && gemm.k >= 4096 ? 16 : 4;
}

}  // namespace

cudaError_t launch_matmul_sm90(const GemmLaunch& gemm, DType dtype, const GemmPlan& plan,
                               int multiprocessors, cudaStream_t stream, const GemmGate& gate) {
  const TensorMapEncoder encode = tensor_map_encoder();
  if (encode == nullptr) return cudaErrorNotSupported;
  const auto count = [](int64_t size, int64_t tile) {
    return static_cast<int>((size + tile - 1) / tile);
  };
  const int matrices = gate.on ? 2 : 1, tile_n = plan.tile_n / matrices;
  const bool grouped = gemm.groups.groups != nullptr;
  GemmSm90Launch launch{.output = gemm.output,
                        .gate = gate,
                        .groups = gemm.groups,
                        .heads = gemm.heads,
                        .k_blocks = count(gemm.k, kGemmSm90BlockK),
                        .t_tiles = count(count(gemm.output.rows, gemm.groups.matrices), plan.tile_t),
                        .t_group = 8,
                        .columns = count(gemm.output.n, tile_n * plan.multicast),
                        .split_shift = std::countr_zero(static_cast<unsigned>(plan.split)),
                        .multicast_shift = std::countr_zero(static_cast<unsigned>(plan.multicast)),
                        .next_at = next_at(gemm, plan, gate)};
  const int t_tiles = grouped ? gemm.groups.most_tiles : launch.t_tiles;
  launch.clusters = std::min(launch.columns * t_tiles * gemm.heads.count,
                             std::max(1, multiprocessors / (plan.split * plan.multicast)));
  const int64_t x_columns = (gemm.heads.count - 1) * gemm.heads.x_step + gemm.k;
  const bool mapped = make_map(encode, gemm.weights, dtype,
                               int64_t{matrices} * gemm.groups.matrices * gemm.heads.count * gemm.output.n,
                               gemm.k, gemm.k, tile_n, &launch.weights) &&
                      make_map(encode, gemm.x, dtype, gemm.output.rows, x_columns, gemm.x_stride,
                               plan.tile_t / plan.multicast, &launch.x);
  if (!mapped) return cudaErrorInvalidValue;
  if (grouped) {
    return dtype == DType::kF16 ? launch_grouped_f16_sm90(launch, plan, stream)
                                : launch_grouped_bf16_sm90(launch, plan, stream);
  }
  if (gemm.heads.count > 1) {
    return dtype == DType::kF16 ? launch_heads_f16_sm90(launch, plan, stream)
                                : launch_heads_bf16_sm90(launch, plan, stream);
  }
  return dtype == DType::kF16 ? launch_matmul_f16_sm90(launch, plan, stream)
                              : launch_matmul_bf16_sm90(launch, plan, stream);
}

}  // namespace lmdeploy::cuda
