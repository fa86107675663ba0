#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda/rms_norm_launch.h"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 256;

__device__ float load(const float* p) { return *p; }
__device__ float load(const __half* p) { return __half2float(*p); }
__device__ float load(const __nv_bfloat16* p) { return __bfloat162float(*p); }
__device__ void store(float* p, float x) { *p = x; }
__device__ void store(__half* p, float x) { *p = __float2half_rn(x); }
__device__ void store(__nv_bfloat16* p, float x) { *p = __float2bfloat16_rn(x); }

// Sum over the block; every thread gets it.
__device__ float block_sum(float x) {
  __shared__ float warps[kThreads / 32];
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, offset);
  __syncthreads();  // warps[] of an earlier call has been read
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
  __syncthreads();
  float sum = 0;
  for (int w = 0; w < kThreads / 32; ++w) sum += warps[w];
  return sum;
}

// One thread block a row.
template <class T>
__global__ void rms_norm_kernel(RmsNormLaunch rows) {
  T* residual = static_cast<T*>(rows.residual) + blockIdx.x * rows.residual_stride;
  float post_scale = 1;
  const T* delta = static_cast<const T*>(rows.delta);
  if (delta != nullptr) delta += blockIdx.x * rows.delta_stride;
  if (rows.post_weight != nullptr) {
    float square = 0;
    for (int i = threadIdx.x; i < rows.size; i += kThreads)
      square += load(delta + i) * load(delta + i);
    post_scale = rsqrtf(block_sum(square) / static_cast<float>(rows.size) + rows.eps);
  }
  float square = 0;
  for (int i = threadIdx.x; i < rows.size; i += kThreads) {
    float x = load(residual + i);
    if (delta != nullptr) {
      const float post = rows.post_weight == nullptr ? 1.0f : post_scale * rows.post_weight[i];
      x += load(delta + i) * post;
      store(residual + i, x);
      x = load(residual + i);  // what the next reader of the residual sees
    }
    square += x * x;
  }
  const float scale = rsqrtf(block_sum(square) / static_cast<float>(rows.size) + rows.eps);
  T* out = static_cast<T*>(rows.out) + blockIdx.x * rows.out_stride;
  for (int i = threadIdx.x; i < rows.size; i += kThreads) {
    store(out + i, load(residual + i) * scale * rows.weight[i]);
  }
}

template <class T>
cudaError_t launch(const RmsNormLaunch& rows, cudaStream_t stream) {
  rms_norm_kernel<T><<<static_cast<unsigned>(rows.rows), kThreads, 0, stream>>>(rows);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_rms_norm_f32(const RmsNormLaunch& rows, cudaStream_t stream) {
  return launch<float>(rows, stream);
}
cudaError_t launch_rms_norm_f16(const RmsNormLaunch& rows, cudaStream_t stream) {
  return launch<__half>(rows, stream);
}
cudaError_t launch_rms_norm_bf16(const RmsNormLaunch& rows, cudaStream_t stream) {
  return launch<__nv_bfloat16>(rows, stream);
}

}  // namespace lmdeploy::cuda
