#include <cmath>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sampling_filters.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kTokens = 16;  // of a thread
constexpr int kChunk = kThreads * kTokens;

// A row's largest logit, from its block maxima.
__device__ float largest(const float* block_max, int blocks) {
  __shared__ float warps[kThreads / 32];
  float max = -INFINITY;
  for (int b = static_cast<int>(threadIdx.x); b < blocks; b += kThreads) {
    max = fmaxf(max, block_max[b]);
  }
  for (int offset = 16; offset > 0; offset /= 2) {
    max = fmaxf(max, __shfl_xor_sync(0xFFFFFFFFu, max, offset));
  }
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = max;
  __syncthreads();
  for (int w = 0; w < kThreads / 32; ++w) max = fmaxf(max, warps[w]);
  return max;
}

// Adds a chunk of tokens to shared counters: a mass is kept as two numbers of 32 bits, which shared
// memory adds natively.
class ChunkMasses {
 public:
  static constexpr int kLowBits = 12;

  struct Shared {
    uint32_t high[kMassBins], low[kMassBins];
  };

  __device__ explicit ChunkMasses(Shared& shared) : shared_(shared) {
    shared_.high[threadIdx.x] = shared_.low[threadIdx.x] = 0;
    __syncthreads();
  }

  __device__ void add(float logit, float top, float scale) const {
    const int bin = mass_bin(logit, top, scale);
    const float below_edge = (top - logit) * scale - static_cast<float>(bin) / kBinsPerNat;
    const uint32_t mass = __float2uint_rn(expf(-below_edge) * static_cast<float>(kMassUnit));
    atomicAdd(&shared_.high[bin], mass >> kLowBits);
    atomicAdd(&shared_.low[bin], mass & ((1u << kLowBits) - 1));
  }

  __device__ void store(uint64_t* masses) const {
    __syncthreads();
    const uint64_t mass =
        (uint64_t{shared_.high[threadIdx.x]} << kLowBits) + shared_.low[threadIdx.x];
    if (mass > 0) {
      atomicAdd(reinterpret_cast<unsigned long long*>(masses) + threadIdx.x,
                static_cast<unsigned long long>(mass));
    }
  }

 private:
  Shared& shared_;
};

__global__ void __launch_bounds__(kThreads)
    sampling_weigh_kernel(const __grid_constant__ SamplingWeighLaunch weigh) {
  static_assert(kThreads == kMassBins);
  __shared__ ChunkMasses::Shared shared;
  wait_for_previous();
  allow_next();
  const DeviceSamplingRow& row = weigh.rows[blockIdx.y];
  if (!needs_masses(row, weigh.logits.vocab)) return;
  const float* logits = weigh.logits.logits + blockIdx.y * weigh.logits.stride;
  const int begin = static_cast<int>(blockIdx.x) * kChunk + static_cast<int>(threadIdx.x);
  float x[kTokens];
#pragma unroll
  for (int i = 0; i < kTokens; ++i) {
    const int token = begin + i * kThreads;
    x[i] = token < weigh.logits.vocab ? logits[token] : -INFINITY;
  }
  float top = largest(weigh.block_max + int64_t{blockIdx.y} * kMaxTokenBlocks, weigh.logits.blocks);
  const bool infinite = top == INFINITY;
  if (infinite) top = 0;
  const uint32_t* mask = mask_of(row, weigh.words);
  const float scale = 1.0f / row.temperature;
  const ChunkMasses masses(shared);
#pragma unroll
  for (int i = 0; i < kTokens; ++i) {
    const int token = begin + i * kThreads;
    if (token >= weigh.logits.vocab) continue;
    const float logit = counted_logit(x[i], token, mask, infinite);
    if (logit > -INFINITY) masses.add(logit, top, scale);
  }
  masses.store(weigh.masses + int64_t{blockIdx.y} * kMassBins);
}

}  // namespace

cudaError_t launch_sampling_weigh(const SamplingWeighLaunch& weigh, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((weigh.logits.vocab + kChunk - 1) / kChunk),
                  static_cast<unsigned>(weigh.logits.rows));
  return launch(sampling_weigh_kernel, grid, dim3(kThreads), 0, stream, true, weigh);
}

}  // namespace lmdeploy::cuda
