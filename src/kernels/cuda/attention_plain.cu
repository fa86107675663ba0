#include "kernels/cuda/attention_launch.h"
#include "kernels/cuda/element_type.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/numeric.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;
constexpr int kMaxDim = 256;
constexpr int kPerLane = kMaxDim / 32;  // elements of a head: lane, lane + 32, ...

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

template <class T>
__device__ void load_head(const T* from, int dim, float (&to)[kPerLane]) {
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int at = static_cast<int>(threadIdx.x) % 32 + 32 * i;
    to[i] = at < dim ? to_float(from[at]) : 0.0f;
  }
}

// A warp's softmax over every kWarps-th token.
struct WarpSoftmax {
  float max = -INFINITY, sum = 0;
  float values[kPerLane] = {};

  __device__ void add(float score, const float (&v)[kPerLane]) {
    const float base = fmaxf(max, score);
    const float scale = max == -INFINITY ? 0.0f : expf(max - base), weight = expf(score - base);
    max = base;
    sum = sum * scale + weight;
    for (int i = 0; i < kPerLane; ++i) values[i] = values[i] * scale + weight * v[i];
  }
};

__device__ float score_of(const AttentionLaunch& args, float dot, int head, int distance) {
  float s = dot * args.scale;
  if (args.softcap > 0) s = args.softcap * tanhf(s / args.softcap);
  if (args.alibi_slopes != nullptr) s -= args.alibi_slopes[head] * static_cast<float>(distance);
  return s;
}

template <class T>
__device__ WarpSoftmax attend(const AttentionLaunch& args, int sequence, int head, int position,
                              const float (&q)[kPerLane]) {
  const int kv_head = head / args.group;
  const int first = args.window > 0 && position >= args.window ? position - args.window + 1 : 0;
  const int32_t* table = args.block_table + sequence * args.block_table_stride;
  WarpSoftmax softmax;
  for (int token = first + static_cast<int>(threadIdx.x) / 32; token <= position; token += kWarps) {
    const char* block =
        args.pages + table[token >> args.block_shift] * args.page_bytes + kv_head * args.head_bytes;
    const int at = (token & ((1 << args.block_shift) - 1)) * args.head_dim;
    float k[kPerLane], v[kPerLane];
    load_head(reinterpret_cast<const T*>(block) + at, args.head_dim, k);
    load_head(reinterpret_cast<const T*>(block + args.kv_heads * args.head_bytes) + at,
              args.head_dim, v);
    float dot = 0;
    for (int i = 0; i < kPerLane; ++i) dot += q[i] * k[i];
    softmax.add(score_of(args, warp_sum(dot), head, position - token), v);
  }
  return softmax;
}

// Puts the warps' sums together and stores the row.
template <class T>
__device__ void store_merged(const AttentionLaunch& args, int head, const WarpSoftmax& own,
                             T* out) {
  __shared__ float max[kWarps], sum[kWarps], values[kWarps][kMaxDim];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  if (lane == 0) {
    max[warp] = own.max;
    sum[warp] = own.sum;
  }
  for (int i = 0; i < kPerLane; ++i) values[warp][lane + 32 * i] = own.values[i];
  __syncthreads();
  const int column = static_cast<int>(threadIdx.x);
  if (column >= args.head_dim) return;
  float most = args.sinks != nullptr ? args.sinks[head] : -INFINITY;
  for (int w = 0; w < kWarps; ++w) most = fmaxf(most, max[w]);
  float total = args.sinks != nullptr ? expf(args.sinks[head] - most) : 0.0f, value = 0;
  for (int w = 0; w < kWarps; ++w) {
    if (sum[w] == 0) continue;
    const float scale = expf(max[w] - most);
    total += sum[w] * scale;
    value += values[w][column] * scale;
  }
  out[column] = from_float<T>(total > 0 ? value / total : 0.0f);
}

// One query head of one token a block.
template <class T>
__global__ void __launch_bounds__(kThreads)
    attention_plain_kernel(const __grid_constant__ AttentionLaunch args) {
  wait_for_previous();
  allow_next();
  const int token = static_cast<int>(blockIdx.x), head = static_cast<int>(blockIdx.y);
  const int sequence = sequence_of(args, token);
  const int position = args.kv_len[sequence] - args.query_start[sequence + 1] + token;
  const T* from = static_cast<const T*>(args.q) + token * args.q_stride + head * args.head_dim;
  float q[kPerLane];
  load_head(from, args.head_dim, q);
  store_merged(args, head, attend<T>(args, sequence, head, position, q),
               static_cast<T*>(args.out) + token * args.out_stride + head * args.head_dim);
}

}  // namespace

cudaError_t launch_attention_plain(DType dtype, const AttentionLaunch& args, cudaStream_t stream) {
  return for_element_type(dtype, [&](auto element) {
    return launch(attention_plain_kernel<decltype(element)>,
                  dim3(static_cast<unsigned>(args.tokens), static_cast<unsigned>(args.heads)),
                  dim3(kThreads), 0, stream, true, args);
  });
}

}  // namespace lmdeploy::cuda
