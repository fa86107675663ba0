// The portable tensor-core product: cp.async, ldmatrix, mma.m16n8k16. The weights are the first
// operand, as on Hopper.
#include "kernels/cuda/gemm_epilogue.cuh"
#include "kernels/cuda/gemm_groups.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/mma.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kBlockK = 64;
constexpr int kRowBytes = kBlockK * 2;

// Tile [kTileN, kTileT] of a block, made of warps [kWarpN, kWarpT] in the same order.
template <int kTileN_, int kTileT_, int kWarpN_, int kWarpT_, int kStages_>
struct MmaShape {
  static constexpr int kTileN = kTileN_, kTileT = kTileT_, kWarpN = kWarpN_, kWarpT = kWarpT_;
  static constexpr int kStages = kStages_;
  static constexpr int kWarpsN = kTileN / kWarpN;
  static constexpr int kThreads = kWarpsN * (kTileT / kWarpT) * 32;
  static constexpr int kWeightBytes = kTileN * kRowBytes;
  static constexpr int kStageBytes = kWeightBytes + kTileT * kRowBytes;
  static constexpr int kSumStride = kTileN + 4;  // floats
  static constexpr int kSumBytes = kTileT * kSumStride * 4;
  static constexpr int kBytes =
      kStages * kStageBytes > kSumBytes ? kStages* kStageBytes : kSumBytes;
};

#if __CUDA_ARCH__ >= 800

// 16-byte columns of a 128-byte row change places with the row, so that 8 rows meet all banks.
__device__ __forceinline__ uint32_t swizzled(int row, int column) {
  return static_cast<uint32_t>(row * kRowBytes + ((column ^ (row & 7)) << 4));
}

// Rows [first, first + kRows) of a [count, k] matrix, columns [column, column + 64); zeros behind
// the ends.
template <class T, int kRows, int kThreads>
__device__ void copy_tile(const T* matrix, int64_t stride, int64_t first, int64_t count,
                          int64_t column, int64_t k, uint32_t to) {
  for (int i = threadIdx.x; i < kRows * 8; i += kThreads) {
    const int row = i / 8, piece = i % 8;
    const bool inside = first + row < count && column + piece * 8 < k;
    const T* from = inside ? matrix + (first + row) * stride + column + piece * 8 : matrix;
    copy_async(to + swizzled(row, piece), from, inside);
  }
}

// A stage times a warp's fragments.
template <class T, class S>
__device__ void multiply_stage(uint32_t weights, uint32_t x,
                               float (&sums)[S::kWarpN / 16][S::kWarpT / 8][4]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int k = 0; k < kBlockK / 16; ++k) {
    uint32_t b[S::kWarpT / 16][4];
#pragma unroll
    for (int j = 0; j < S::kWarpT / 16; ++j) {  // 16 rows of x: two columns of 8, k halves next
      load_matrices(b[j], x + swizzled(j * 16 + lane / 16 * 8 + lane % 8, k * 2 + lane / 8 % 2));
    }
#pragma unroll
    for (int i = 0; i < S::kWarpN / 16; ++i) {
      uint32_t a[4];
      load_matrices(a, weights + swizzled(i * 16 + lane % 16, k * 2 + lane / 16));
#pragma unroll
      for (int j = 0; j < S::kWarpT / 8; ++j) {
        multiply_add<T>(sums[i][j], a, b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
      }
    }
  }
}

// The block's sums from (t0, n0) on, through shared memory as tile[t][n].
template <class T, class S>
__device__ void store_tile(const GemmOutput& output, int64_t t0, int64_t n0, int warp_t, int warp_n,
                           const float (&sums)[S::kWarpN / 16][S::kWarpT / 8][4], float* tile) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < S::kWarpN / 16; ++i) {
#pragma unroll
    for (int j = 0; j < S::kWarpT / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int t = warp_t + j * 8 + lane % 4 * 2 + e % 2;
        const int n = warp_n + i * 16 + lane / 4 + e / 2 * 8;
        tile[t * S::kSumStride + n] = sums[i][j][e];
      }
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < S::kTileT * (S::kTileN / 8); i += S::kThreads) {
    const int t = i / (S::kTileN / 8), n = i % (S::kTileN / 8) * 8;
    store_eight_sums<T>(output, t0 + t, static_cast<int>(n0) + n, tile + t * S::kSumStride + n);
  }
}

#endif  // __CUDA_ARCH__ >= 800

template <class T, class S>
__global__ void __launch_bounds__(S::kThreads) matmul_mma_kernel(GemmLaunch gemm) {
#if __CUDA_ARCH__ >= 800
  extern __shared__ __align__(128) char shared[];
  const uint32_t base = shared_address(shared);
  const int64_t n0 = int64_t{blockIdx.x} * S::kTileN;
  const int warp = threadIdx.x / 32, warp_n = warp % S::kWarpsN * S::kWarpN,
            warp_t = warp / S::kWarpsN * S::kWarpT;
  const T* weights = static_cast<const T*>(gemm.weights);
  const T* x = static_cast<const T*>(gemm.x);
  int64_t t0 = int64_t{blockIdx.y} * S::kTileT;
  GemmOutput output = gemm.output;
  move_to_head(gemm, output, weights, x);
  allow_next();
  if (gemm.groups.groups != nullptr) {
    wait_for_previous();
    if (!move_to_group(gemm, output, weights, t0)) return;
  }
  const int blocks = static_cast<int>((gemm.k + kBlockK - 1) / kBlockK);
  const auto copy_weights = [&](int block) {
    copy_tile<T, S::kTileN, S::kThreads>(weights, gemm.k, n0, output.n,
                                         int64_t{block} * kBlockK, gemm.k,
                                         base + block % S::kStages * S::kStageBytes);
  };
  const auto copy_x = [&](int block) {
    copy_tile<T, S::kTileT, S::kThreads>(
        x, gemm.x_stride, t0, output.rows, int64_t{block} * kBlockK, gemm.k,
        base + block % S::kStages * S::kStageBytes + S::kWeightBytes);
  };
  for (int block = 0; block < S::kStages - 1 && block < blocks; ++block) copy_weights(block);
  wait_for_previous();
  for (int block = 0; block < S::kStages - 1; ++block) {
    if (block < blocks) copy_x(block);
    commit_copies();
  }
  float sums[S::kWarpN / 16][S::kWarpT / 8][4] = {};
  for (int block = 0; block < blocks; ++block) {
    wait_copies<S::kStages - 2>();
    __syncthreads();
    if (const int next = block + S::kStages - 1; next < blocks) {
      copy_weights(next);
      copy_x(next);
    }
    commit_copies();
    const uint32_t stage = base + block % S::kStages * S::kStageBytes;
    multiply_stage<T, S>(stage + warp_n * kRowBytes, stage + S::kWeightBytes + warp_t * kRowBytes,
                         sums);
  }
  wait_copies<0>();
  __syncthreads();
  store_tile<T, S>(output, t0, n0, warp_t, warp_n, sums, reinterpret_cast<float*>(shared));
#endif
}

template <class T, class S>
cudaError_t launch_shape(const GemmLaunch& gemm, cudaStream_t stream) {
  const auto kernel = matmul_mma_kernel<T, S>;
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::kBytes);
  if (error != cudaSuccess) return error;
  const dim3 grid(static_cast<unsigned>((gemm.output.n + S::kTileN - 1) / S::kTileN),
                  tiles_of_rows(gemm, S::kTileT), static_cast<unsigned>(gemm.heads.count));
  return launch(kernel, grid, S::kThreads, S::kBytes, stream, true, gemm);
}

template <class T>
cudaError_t launch_type(const GemmLaunch& gemm, cudaStream_t stream) {
  const bool grouped = gemm.groups.groups != nullptr;
  const int64_t rows = grouped ? gemm.groups.tile_t : gemm.output.rows;
  if (rows <= 16) return launch_shape<T, MmaShape<64, 16, 16, 16, 8>>(gemm, stream);
  if (rows <= 64) return launch_shape<T, MmaShape<64, 64, 32, 32, 4>>(gemm, stream);
  return launch_shape<T, MmaShape<128, 128, 32, 64, 3>>(gemm, stream);
}

}  // namespace

cudaError_t launch_matmul_mma(const GemmLaunch& gemm, DType dtype, cudaStream_t stream) {
  return dtype == DType::kF16 ? launch_type<__half>(gemm, stream)
                              : launch_type<__nv_bfloat16>(gemm, stream);
}

}  // namespace lmdeploy::cuda
