#include "kernels/cuda/element_type.cuh"
#include "kernels/cuda/latent_input_launch.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/numeric.cuh"
#include "kernels/cuda/row_block.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 256;

// Element i of a head of 2 `half` elements at x, rotated.
template <class T>
__device__ float rotated(const T* x, const float* cos_sin, int half, int i) {
  const int pair = i < half ? i : i - half;
  const float a = to_float(x[pair]), b = to_float(x[pair + half]);
  const float c = cos_sin[pair], s = cos_sin[pair + half];
  return i < half ? a * c - b * s : b * c + a * s;
}

// The latent and the shared key of a row: written back and into its page.
template <class T>
__device__ void store_latent(const LatentInputLaunch& args, int64_t row, const float* cos_sin) {
  const int thread = static_cast<int>(threadIdx.x), rope_dim = 2 * args.rotary_half;
  T* latent = static_cast<T*>(args.latent) + row * args.latent_stride;
  float square = 0;
  for (int i = thread; i < args.latent_dim; i += kThreads) {
    square += to_float(latent[i]) * to_float(latent[i]);
  }
  const float scale =
      rsqrtf(block_sum(square) / static_cast<float>(args.latent_dim) + args.norm_eps);
  float key = 0;  // rope_dim is at most kThreads
  if (thread < rope_dim) key = rotated(latent + args.latent_dim, cos_sin, args.rotary_half, thread);
  __syncthreads();  // the key's pairs have been read
  const int64_t slot = args.slot_map[row];
  const int64_t page = slot < 0 ? 0 : slot / args.block_tokens;
  T* cached = reinterpret_cast<T*>(args.pages + page * args.page_bytes) +
              (slot < 0 ? 0 : slot % args.block_tokens) * (args.latent_dim + rope_dim);
  const auto store = [&](int i, float value) {
    latent[i] = from_float<T>(value);
    if (slot >= 0) cached[i] = from_float<T>(value);
  };
  for (int i = thread; i < args.latent_dim; i += kThreads) {
    store(i, to_float(latent[i]) * scale * args.norm[i]);
  }
  if (thread < rope_dim) store(args.latent_dim + thread, key);
}

// blockIdx.x: the row; blockIdx.y: 0 for the latent, 1 for the queries.
template <class T>
__global__ void __launch_bounds__(kThreads)
    latent_input_kernel(const __grid_constant__ LatentInputLaunch args) {
  wait_for_previous();
  allow_next();
  const int64_t row = blockIdx.x;
  const float* cos_sin = args.cos_sin + row * args.cos_sin_stride;
  if (blockIdx.y == 0) {
    store_latent<T>(args, row, cos_sin);
    return;
  }
  const int rope_dim = 2 * args.rotary_half, head_dim = args.latent_dim + rope_dim;
  const T* from = static_cast<const T*>(args.query_rope) + row * args.query_rope_stride;
  T* to = static_cast<T*>(args.query) + row * args.query_stride + args.latent_dim;
  for (int i = static_cast<int>(threadIdx.x); i < args.heads * rope_dim; i += kThreads) {
    const int head = i / rope_dim, within = i % rope_dim;
    to[head * head_dim + within] =
        from_float<T>(rotated(from + head * rope_dim, cos_sin, args.rotary_half, within));
  }
}

}  // namespace

cudaError_t launch_latent_input(DType dtype, const LatentInputLaunch& args, cudaStream_t stream) {
  if (2 * args.rotary_half > kThreads) return cudaErrorInvalidValue;
  return for_element_type(dtype, [&](auto element) {
    return launch(latent_input_kernel<decltype(element)>,
                  dim3(static_cast<unsigned>(args.rows), 2), dim3(kThreads), 0, stream, true, args);
  });
}

}  // namespace lmdeploy::cuda
