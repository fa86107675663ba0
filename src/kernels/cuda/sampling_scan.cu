#include <cmath>

#include "kernels/cuda/device_sampling_launch.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_vector.cuh"
#include "kernels/cuda/sampling_filters.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kGroups = 4;  // of a warp: 4, 2 or 1 whole blocks of tokens
constexpr int kGroupLanes = 32 / kGroups;
constexpr int kLaneTokens = kTokenGroup / 32;

// kWide: a lane's tokens of a group are neighbours, read as one vector; else they are 32 apart.
template <bool kWide>
class ScanWarp {
 public:
  __device__ ScanWarp(const SamplingScanLaunch& scan, int first_group)
      : scan_(scan), first_group_(first_group), lane_(static_cast<int>(threadIdx.x) % 32) {}

  __device__ void load() {
    const float* row = scan_.logits.logits + blockIdx.y * scan_.logits.stride;
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      if constexpr (kWide) {
        RowVector<float, kLaneTokens> vector{{-INFINITY, -INFINITY, -INFINITY, -INFINITY}};
        if (token(g, 0) < scan_.logits.vocab) {
          vector = load_vector<kLaneTokens>(row + token(g, 0));
        }
#pragma unroll
        for (int i = 0; i < kLaneTokens; ++i) x_[g][i] = vector.elements[i];
      } else {
#pragma unroll
        for (int i = 0; i < kLaneTokens; ++i) {
          x_[g][i] = token(g, i) < scan_.logits.vocab ? row[token(g, i)] : -INFINITY;
        }
      }
    }
  }

  __device__ void apply(const uint32_t* mask) {
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
#pragma unroll
      for (int i = 0; i < kLaneTokens; ++i) {
        const int id = token(g, i);
        if (id < scan_.logits.vocab && !allowed(mask, id)) x_[g][i] = -INFINITY;
      }
    }
  }

  __device__ void find_maxima() {
    float max[kGroups];
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      max[g] = -INFINITY;
#pragma unroll
      for (int i = 0; i < kLaneTokens; ++i) max[g] = fmaxf(max[g], x_[g][i]);  // a NaN loses
    }
    max_ = over_block(max, [](float a, float b) { return fmaxf(a, b); });
    store(max_, scan_.block_max);
  }

  __device__ void add_exponentials(float scale, float* sums) const {
    float sum[kGroups];
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const float max = __shfl_sync(0xFFFFFFFFu, max_, g * kGroupLanes);
      sum[g] = 0;
#pragma unroll
      for (int i = 0; i < kLaneTokens; ++i) sum[g] += exponential(x_[g][i], max, scale);
    }
    store(over_block(sum, [](float a, float b) { return a + b; }), sums);
  }

 private:
  __device__ int token(int g, int i) const {
    const int begin = (first_group_ + g) * kTokenGroup;
    return kWide ? begin + lane_ * kLaneTokens + i : begin + i * 32 + lane_;
  }

  // Reduces the groups' values over the warp, all at once: a lane sends one half of its values and
  // keeps the other. Lane l gets what the block of group l / kGroupLanes comes to.
  template <class Op>
  __device__ float over_block(const float (&values)[kGroups], Op op) const {
    static_assert(kGroups == 4);
    const auto meet = [&](float kept, float sent, int offset) {
      return op(kept, __shfl_xor_sync(0xFFFFFFFFu, sent, offset));
    };
    const bool late = (lane_ & 16) != 0, odd = (lane_ & 8) != 0;
    const float first = meet(late ? values[2] : values[0], late ? values[0] : values[2], 16);
    const float second = meet(late ? values[3] : values[1], late ? values[1] : values[3], 16);
    float value = meet(odd ? second : first, odd ? first : second, 8);
    for (int offset = 4; offset > 0; offset /= 2) value = meet(value, value, offset);
    if (scan_.logits.block >= 2 * kTokenGroup) value = meet(value, value, 8);
    if (scan_.logits.block >= 4 * kTokenGroup) value = meet(value, value, 16);
    return value;
  }

  // A block's value, by the first lane of its first group.
  __device__ void store(float value, float* out) const {
    const int token = (first_group_ + lane_ / kGroupLanes) * kTokenGroup;
    const int block_mask = scan_.logits.block - 1;  // a power of two
    if (lane_ % kGroupLanes != 0 || (token & block_mask) != 0 || token >= scan_.logits.vocab)
      return;
    const int block = token >> (31 - __clz(scan_.logits.block));
    out[int64_t{blockIdx.y} * kMaxTokenBlocks + block] = value;
  }

  const SamplingScanLaunch& scan_;
  const int first_group_, lane_;
  float x_[kGroups][kLaneTokens];
  float max_ = -INFINITY;  // of the block of group lane / kGroupLanes
};

template <bool kWide>
__global__ void __launch_bounds__(kThreads)
    sampling_scan_kernel(const __grid_constant__ SamplingScanLaunch scan) {
  wait_for_previous();
  allow_next();
  const int warp =
      static_cast<int>(blockIdx.x) * (kThreads / 32) + static_cast<int>(threadIdx.x) / 32;
  ScanWarp<kWide> scanned(scan, warp * kGroups);
  scanned.load();  // before it is known whether it is needed: it mostly is
  const DeviceSamplingRow* row = scan.rows == nullptr ? nullptr : scan.rows + blockIdx.y;
  if (row != nullptr && (row->flags & DeviceSamplingRow::kActive) == 0) return;
  const bool wants_raw = scan.raw_sum != nullptr && (row == nullptr || row->logprobs >= 0);
  if (scan.sum == nullptr && !wants_raw) return;
  const uint32_t* mask = scan.sum == nullptr ? nullptr : mask_of(*row, scan.words);
  if (mask != nullptr) scanned.apply(mask);
  scanned.find_maxima();
  if (wants_raw) scanned.add_exponentials(1.0f, scan.raw_sum);
  if (scan.sum == nullptr) return;
  if (needs_sums(*row, scan.logits.vocab)) {
    scanned.add_exponentials(1.0f / row->temperature, scan.sum);
  }
  if (scan.masses != nullptr && blockIdx.x == 0 && needs_masses(*row, scan.logits.vocab)) {
    static_assert(kThreads == kMassBins);
    scan.masses[int64_t{blockIdx.y} * kMassBins + threadIdx.x] = 0;
  }
}

}  // namespace

cudaError_t launch_sampling_scan(const SamplingScanLaunch& scan, cudaStream_t stream) {
  constexpr int kTokens = kThreads / 32 * kGroups * kTokenGroup;
  const LogitRows& logits = scan.logits;
  const dim3 grid(static_cast<unsigned>((logits.vocab + kTokens - 1) / kTokens),
                  static_cast<unsigned>(logits.rows));
  const bool wide = rows_are_vectors(logits.logits, logits.stride, logits.vocab, sizeof(float));
  return launch(wide ? sampling_scan_kernel<true> : sampling_scan_kernel<false>, grid,
                dim3(kThreads), 0, stream, true, scan);
}

}  // namespace lmdeploy::cuda
