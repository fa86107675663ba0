#include "kernels/cuda/element_type.cuh"
#include "kernels/cuda/gemm_groups.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/matmul_launch.h"
#include "kernels/cuda/numeric.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kTile = kGemmPlainTile;  // rows of x, and of the weights, of a block
constexpr int kDepth = 16;  // elements of k at a time
constexpr int kThreads = 256;
constexpr int kEach = 4;  // a thread has 4 x 4 sums

// rows[row][k]^T of a [count, k] matrix as tile[k][row]; zeros behind the ends.
template <class T>
__device__ void load_tile(const T* matrix, int64_t stride, int64_t first, int64_t count, int64_t k,
                          int64_t depth, float (&tile)[kDepth][kTile + 1]) {
  for (int i = threadIdx.x; i < kTile * kDepth; i += kThreads) {
    const int row = i / kDepth, column = i % kDepth;
    const bool inside = first + row < count && k + column < depth;
    tile[column][row] = inside ? to_float(matrix[(first + row) * stride + k + column]) : 0.0f;
  }
}

template <class Out>
__device__ void store(const GemmOutput& to, int64_t t, int64_t n, float sum) {
  Out* out = static_cast<Out*>(to.out) + t * to.stride + n;
  if (to.bias != nullptr) sum += to.bias[n];
  if (to.add) sum += to_float(*out);
  *out = from_float<Out>(sum);
}

// Sums go up in k: a row's result does not depend on the number of rows.
template <class T>
__global__ void __launch_bounds__(kThreads) matmul_plain_kernel(GemmLaunch gemm) {
  __shared__ float x_tile[kDepth][kTile + 1], weight_tile[kDepth][kTile + 1];
  const int64_t n0 = int64_t{blockIdx.x} * kTile;
  int64_t t0 = int64_t{blockIdx.y} * kTile;
  const T* weights = static_cast<const T*>(gemm.weights);
  const T* x = static_cast<const T*>(gemm.x);
  GemmOutput output = gemm.output;
  move_to_head(gemm, output, weights, x);
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  float sums[kEach][kEach] = {};
  allow_next();
  wait_for_previous();
  if (gemm.groups.groups != nullptr && !move_to_group(gemm, output, weights, t0)) return;
  for (int64_t k = 0; k < gemm.k; k += kDepth) {
    load_tile(x, gemm.x_stride, t0, output.rows, k, gemm.k, x_tile);
    load_tile(weights, gemm.k, n0, output.n, k, gemm.k, weight_tile);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kDepth; ++i) {
#pragma unroll
      for (int a = 0; a < kEach; ++a) {
#pragma unroll
        for (int b = 0; b < kEach; ++b) {
          sums[a][b] += x_tile[i][ty + 16 * a] * weight_tile[i][tx + 16 * b];
        }
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int a = 0; a < kEach; ++a) {
#pragma unroll
    for (int b = 0; b < kEach; ++b) {
      const int64_t t = t0 + ty + 16 * a, n = n0 + tx + 16 * b;
      if (t >= output.rows || n >= output.n) continue;
      if (output.f32) {
        store<float>(output, t, n, sums[a][b]);
      } else {
        store<T>(output, t, n, sums[a][b]);
      }
    }
  }
}

}  // namespace

cudaError_t launch_matmul_plain(const GemmLaunch& gemm, DType dtype, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((gemm.output.n + kTile - 1) / kTile),
                  tiles_of_rows(gemm, kTile), static_cast<unsigned>(gemm.heads.count));
  return for_element_type(dtype, [&]<class T>(T) {
    return launch(matmul_plain_kernel<T>, grid, kThreads, 0, stream, true, gemm);
  });
}

}  // namespace lmdeploy::cuda
