#include "kernels/cuda/attention_input_launch.h"
#include "kernels/cuda/element_type.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_vector.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kWarps = 4;
constexpr int kMaxDim = 256;

template <class T>
__device__ __forceinline__ T to_cache(float x) {
  return from_float<T>(x);
}
template <>
__device__ __forceinline__ __half to_cache<__half>(float x) {
  constexpr float kMost = 65504.0f;
  return __float2half_rn(x != x ? x : fminf(fmaxf(x, -kMost), kMost));
}

// A head of one row, held by `lanes` (a power of 2) neighbouring lanes of a warp: lane i of them
// has the vectors i, i + lanes, ... of kSize elements. `shared` has kVectors * kSize * lanes
// floats.
template <class T, int kSize>
struct Head {
  static constexpr int kVectors = kSize == 1 ? kMaxDim / 32 : (kMaxDim / kSize + 31) / 32;
  float x[kVectors][kSize];
  float* shared;
  int lane, lane_bits, lanes, dim;

  template <class Fn>
  __device__ void each(Fn&& fn) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const int at = (v * lanes + lane) * kSize;
      if (at < dim) fn(at, x[v]);
    }
  }
  __device__ void load(const T* from) {
    each([&](int at, float(&values)[kSize]) {
      const RowVector<T, kSize> vector = load_vector<kSize>(from + at);
      for (int e = 0; e < kSize; ++e) values[e] = to_float(vector.elements[e]);
    });
  }
  __device__ void store(T* to) {
    each([&](int at, float(&values)[kSize]) {
      RowVector<T, kSize> vector;
      for (int e = 0; e < kSize; ++e) vector.elements[e] = from_float<T>(values[e]);
      store_vector(to + at, vector);
    });
  }
  __device__ void store_to_cache(T* to) {
    each([&](int at, float(&values)[kSize]) {
      RowVector<T, kSize> vector;
      for (int e = 0; e < kSize; ++e) vector.elements[e] = to_cache<T>(values[e]);
      store_vector(to + at, vector);
    });
  }
  __device__ void norm(const float* weight, float eps) {
    float square = 0;
    each([&](int, float(&values)[kSize]) {
      for (int e = 0; e < kSize; ++e) square += values[e] * values[e];
    });
    for (int offset = lanes / 2; offset > 0; offset /= 2)
      square += __shfl_xor_sync(0xFFFFFFFFu, square, offset);
    const float scale = rsqrtf(square / static_cast<float>(dim) + eps);
    each([&](int at, float(&values)[kSize]) {
      for (int e = 0; e < kSize; ++e) values[e] *= scale * weight[at + e];
    });
  }
  // Where element i goes between lanes: neighbours in `shared` are of neighbouring lanes.
  __device__ float& exchanged(int i) {
    const int vector = i / kSize;
    const int row = (vector >> lane_bits) * kSize + i % kSize;
    return shared[(row << lane_bits) + (vector & (lanes - 1))];
  }
  // Pairs (i, half + i) of a head of one vector a lane, where half is a multiple of kSize and
  // cos_sin is aligned to 16 bytes.
  __device__ void rotate_vectors(const float* cos_sin, int half) {
    const int at = lane * kSize;
    const bool is_first = at < half, rotates = at < 2 * half;
    const int distance = half / kSize;
    const int partner = !rotates ? lane : is_first ? lane + distance : lane - distance;
    // The table's values are on their way while x is.
    const float* of_pair = cos_sin + (is_first ? at : at - half);
    RowVector<float, 4> cosine[kSize / 4 + 1], sine[kSize / 4 + 1];
#pragma unroll
    for (int e = 0; e < kSize / 4 && rotates; ++e) {
      cosine[e] = load_vector<4>(of_pair + e * 4);
      sine[e] = load_vector<4>(of_pair + half + e * 4);
    }
    float other[kSize];
#pragma unroll
    for (int e = 0; e < kSize; ++e) other[e] = __shfl_sync(0xFFFFFFFFu, x[0][e], partner, lanes);
    if (!rotates) return;
#pragma unroll
    for (int e = 0; e < kSize; ++e) {
      const float crossed = other[e] * sine[e / 4].elements[e % 4];
      x[0][e] = x[0][e] * cosine[e / 4].elements[e % 4] + (is_first ? -crossed : crossed);
    }
  }
  // Pairs (i, half + i) of any head.
  __device__ void rotate(const float* cos_sin, int half) {
    each([&](int at, float(&values)[kSize]) {
      for (int e = 0; e < kSize; ++e) exchanged(at + e) = values[e];
    });
    __syncwarp();
    each([&](int at, float(&values)[kSize]) {
      for (int e = 0; e < kSize; ++e) {
        const int i = at + e;
        if (i < half) {
          values[e] = values[e] * cos_sin[i] - exchanged(i + half) * cos_sin[i + half];
        } else if (i < 2 * half) {
          values[e] = values[e] * cos_sin[i - half] + exchanged(i - half) * cos_sin[i];
        }
      }
    });
  }
};

// One head of q, k or v a group of lanes: norm, rotation, and where it goes. blockIdx.x: the row,
// blockIdx.y: as many heads as the block has groups.
template <class T, int kSize>
__global__ void __launch_bounds__(kWarps * 32)
    attention_input_kernel(const __grid_constant__ AttentionInputLaunch args, int lane_bits) {
  constexpr int kPerLane = Head<T, kSize>::kVectors * kSize;
  __shared__ float shared[kWarps * 32 * kPerLane];
  allow_next();
  wait_for_previous();
  const int64_t row = blockIdx.x;
  const int lanes = 1 << lane_bits;
  const int group = static_cast<int>(threadIdx.x) / lanes;
  const int head = static_cast<int>(blockIdx.y) * (kWarps * 32 / lanes) + group;
  const int all_heads = args.heads + 2 * args.kv_heads;
  T* data = static_cast<T*>(args.qkv) + row * args.qkv_stride + int64_t{head} * args.head_dim;
  Head<T, kSize> x{.shared = shared + group * lanes * kPerLane,
                   .lane = static_cast<int>(threadIdx.x) % lanes,
                   .lane_bits = lane_bits,
                   .lanes = lanes,
                   .dim = head < all_heads ? args.head_dim : 0};  // the warp's other lanes go along
  x.load(data);
  const int64_t slot = args.slot_map[row];
  const bool is_q = head < args.heads, is_v = head >= args.heads + args.kv_heads;
  const float* weight = is_q ? args.q_norm : args.k_norm;
  // The lanes of a warp may hold heads of q, k and v: all take part in the sums, v keeps its
  // values.
  if (args.q_norm != nullptr || args.k_norm != nullptr) {
    Head<T, kSize> normed = x;
    if (is_v || weight == nullptr) normed.dim = 0;
    normed.norm(weight, args.norm_eps);
    if (normed.dim > 0) x = normed;
  }
  const float* cos_sin = args.cos_sin + row * args.cos_sin_stride;
  const int half = is_v ? 0 : args.rotary_half;
  if (args.rotates_vectors) {
    x.rotate_vectors(cos_sin, half);
  } else if (args.rotary_half > 0) {
    x.rotate(cos_sin, half);
  }
  if (head >= all_heads) return;
  if (is_q) {
    x.store(data);
  } else if (slot >= 0) {
    char* to = args.pages + slot / args.block_tokens * args.page_bytes +
               (head - args.heads) * args.head_bytes;
    x.store_to_cache(reinterpret_cast<T*>(to) + slot % args.block_tokens * args.head_dim);
  }
}

template <class T, int kSize>
cudaError_t launch_vectors(AttentionInputLaunch args, cudaStream_t stream) {
  int lane_bits = 2;
  while (lane_bits < 5 && (kSize << lane_bits) < args.head_dim) ++lane_bits;
  const int heads_per_block = (kWarps * 32) >> lane_bits;
  const int heads = args.heads + 2 * args.kv_heads;
  const dim3 grid(static_cast<unsigned>(args.rows),
                  static_cast<unsigned>((heads + heads_per_block - 1) / heads_per_block));
  args.rotates_vectors =
      Head<T, kSize>::kVectors == 1 && kSize % 4 == 0 && args.rotary_half > 0 &&
      args.rotary_half % kSize == 0 &&
      rows_are_vectors(args.cos_sin, args.cos_sin_stride, 2 * args.rotary_half, sizeof(float));
  return launch(attention_input_kernel<T, kSize>, grid, dim3(kWarps * 32), 0, stream, true, args,
                lane_bits);
}

}  // namespace

cudaError_t launch_attention_input(DType dtype, const AttentionInputLaunch& args,
                                   cudaStream_t stream) {
  return for_element_type(dtype, [&](auto element) {
    using T = decltype(element);
    constexpr int kVector = 16 / sizeof(T);
    const bool aligned =
        rows_are_vectors(args.qkv, args.qkv_stride, args.head_dim, sizeof(T)) &&
        rows_are_vectors(args.pages, args.page_bytes / static_cast<int64_t>(sizeof(T)),
                         args.head_dim, sizeof(T));
    return aligned ? launch_vectors<T, kVector>(args, stream) : launch_vectors<T, 1>(args, stream);
  });
}

}  // namespace lmdeploy::cuda
