#include "kernels/cuda/attention_launch.h"
#include "kernels/cuda/element_type.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/numeric.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;
// Elements of a head of up to kMaxDim that a lane has: lane, lane + 32, ...
template <int kMaxDim>
constexpr int kPerLane = kMaxDim / 32;

// The sequence of query token `token`.
__device__ int sequence_of(const AttentionLaunch& args, int token) {
  int low = 0, high = args.sequences - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (args.query_start[middle] <= token)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

__device__ float warp_sum(float x) {
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, offset);
  return x;
}

template <class T, int kElements>
__device__ void load_head(const T* from, int dim, float (&to)[kElements]) {
#pragma unroll
  for (int i = 0; i < kElements; ++i) {
    const int at = static_cast<int>(threadIdx.x) % 32 + 32 * i;
    to[i] = at < dim ? to_float(from[at]) : 0.0f;
  }
}

// A warp's softmax over every kWarps-th token.
template <int kElements>
struct WarpSoftmax {
  float max = -INFINITY, sum = 0;
  float values[kElements] = {};

  __device__ void add(float score, const float (&v)[kElements]) {
    const float base = fmaxf(max, score);
    const float scale = max == -INFINITY ? 0.0f : expf(max - base), weight = expf(score - base);
    max = base;
    sum = sum * scale + weight;
#pragma unroll
    for (int i = 0; i < kElements; ++i) values[i] = values[i] * scale + weight * v[i];
  }
};

__device__ float score_of(const AttentionLaunch& args, float dot, int head, int distance) {
  float s = dot * args.scale;
  if (args.softcap > 0) s = args.softcap * tanhf(s / args.softcap);
  if (args.alibi_slopes != nullptr) s -= args.alibi_slopes[head] * static_cast<float>(distance);
  return s;
}

template <class T, int kElements>
__device__ WarpSoftmax<kElements> attend(const AttentionLaunch& args, int sequence, int head,
                                         int position, const float (&q)[kElements]) {
  const int kv_head = head / args.group;
  const int first = args.window > 0 && position >= args.window ? position - args.window + 1 : 0;
  const int32_t* table = args.block_table + sequence * args.block_table_stride;
  WarpSoftmax<kElements> softmax;
  for (int token = first + static_cast<int>(threadIdx.x) / 32; token <= position; token += kWarps) {
    const char* block =
        args.pages + table[token >> args.block_shift] * args.page_bytes + kv_head * args.head_bytes;
    const int at = (token & ((1 << args.block_shift) - 1)) * args.head_dim;
    float k[kElements], v[kElements];
    load_head(reinterpret_cast<const T*>(block) + at, args.head_dim, k);
    load_head(reinterpret_cast<const T*>(block + args.value_bytes) + at, args.head_dim, v);
    float dot = 0;
#pragma unroll
    for (int i = 0; i < kElements; ++i) dot += q[i] * k[i];
    softmax.add(score_of(args, warp_sum(dot), head, position - token), v);
  }
  return softmax;
}

// Puts the warps' sums together and stores the row.
template <class T, int kElements>
__device__ void store_merged(const AttentionLaunch& args, int head,
                             const WarpSoftmax<kElements>& own, T* out) {
  __shared__ float max[kWarps], sum[kWarps], values[kWarps][kElements * 32];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  if (lane == 0) {
    max[warp] = own.max;
    sum[warp] = own.sum;
  }
#pragma unroll
  for (int i = 0; i < kElements; ++i) values[warp][lane + 32 * i] = own.values[i];
  __syncthreads();
  float most = args.sinks != nullptr ? args.sinks[head] : -INFINITY;
  for (int w = 0; w < kWarps; ++w) most = fmaxf(most, max[w]);
  float total = args.sinks != nullptr ? expf(args.sinks[head] - most) : 0.0f, scales[kWarps];
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    scales[w] = sum[w] == 0 ? 0.0f : expf(max[w] - most);
    total += sum[w] * scales[w];
  }
  for (int column = static_cast<int>(threadIdx.x); column < args.head_dim; column += kThreads) {
    float value = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) value += values[w][column] * scales[w];
    out[column] = from_float<T>(total > 0 ? value / total : 0.0f);
  }
}

// One query head of one token a block.
template <class T, int kMaxDim>
__global__ void __launch_bounds__(kThreads)
    attention_plain_kernel(const __grid_constant__ AttentionLaunch args) {
  wait_for_previous();
  allow_next();
  const int token = static_cast<int>(blockIdx.x), head = static_cast<int>(blockIdx.y);
  const int sequence = sequence_of(args, token);
  const int position = args.kv_len[sequence] - args.query_start[sequence + 1] + token;
  const T* from = static_cast<const T*>(args.q) + token * args.q_stride + head * args.head_dim;
  float q[kPerLane<kMaxDim>];
  load_head(from, args.head_dim, q);
  store_merged(args, head, attend<T>(args, sequence, head, position, q),
               static_cast<T*>(args.out) + token * args.out_stride + head * args.head_dim);
}

}  // namespace

cudaError_t launch_attention_plain(DType dtype, const AttentionLaunch& args, cudaStream_t stream) {
  return for_element_type(dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kUsual = 256;
    return launch(args.head_dim <= kUsual ? attention_plain_kernel<T, kUsual>
                                          : attention_plain_kernel<T, kMaxLatentHeadDim>,
                  dim3(static_cast<unsigned>(args.tokens), static_cast<unsigned>(args.heads)),
                  dim3(kThreads), 0, stream, true, args);
  });
}

}  // namespace lmdeploy::cuda
