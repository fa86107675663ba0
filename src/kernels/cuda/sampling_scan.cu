#include <cmath>

#include "kernels/cuda/device_sampling_launch.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_vector.cuh"
#include "kernels/cuda/sampling_filters.cuh"

namespace lmdeploy::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kGroups = 4;  // of a warp: 1, 2 or 4 whole blocks of tokens
constexpr int kLaneTokens = kTokenGroup / 32;

// kWide: a lane's tokens of a group are neighbours, read as one vector; else they are 32 apart.
template <bool kWide>
class ScanWarp {
 public:
  __device__ ScanWarp(const SamplingScanLaunch& scan, int first_group)
      : scan_(scan), first_group_(first_group), lane_(static_cast<int>(threadIdx.x) % 32) {}

  __device__ void load(const uint32_t* mask) {
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
    if (mask != nullptr) apply(mask);
  }

  // The largest value of each block, in every lane of it.
  __device__ void find_maxima() {
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      float max = -INFINITY;
#pragma unroll
      for (int i = 0; i < kLaneTokens; ++i) max = fmaxf(max, x_[g][i]);  // a NaN loses
      for (int offset = 16; offset > 0; offset /= 2) {
        max = fmaxf(max, __shfl_xor_sync(0xFFFFFFFFu, max, offset));
      }
      max_[g] = max;
    }
    over_blocks(max_, [](float a, float b) { return fmaxf(a, b); });
    store(max_, scan_.block_max);
  }

  __device__ void add_exponentials(float scale, float* sums) const {
    float sum[kGroups];
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      sum[g] = 0;
#pragma unroll
      for (int i = 0; i < kLaneTokens; ++i) sum[g] += exponential(x_[g][i], max_[g], scale);
      for (int offset = 16; offset > 0; offset /= 2) {
        sum[g] += __shfl_xor_sync(0xFFFFFFFFu, sum[g], offset);
      }
    }
    over_blocks(sum, [](float a, float b) { return a + b; });
    store(sum, sums);
  }

 private:
  __device__ int token(int g, int i) const {
    const int begin = (first_group_ + g) * kTokenGroup;
    return kWide ? begin + lane_ * kLaneTokens + i : begin + i * 32 + lane_;
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

  // A block's groups all get what their values come to.
  template <class Op>
  __device__ void over_blocks(float (&values)[kGroups], Op op) const {
    static_assert(kGroups == 4);
    if (scan_.logits.block >= 2 * kTokenGroup) {
      values[0] = values[1] = op(values[0], values[1]);
      values[2] = values[3] = op(values[2], values[3]);
    }
    if (scan_.logits.block >= 4 * kTokenGroup) {
      values[0] = values[1] = values[2] = values[3] = op(values[0], values[2]);
    }
  }

  __device__ void store(const float (&values)[kGroups], float* out) const {
    if (lane_ != 0) return;
    const int groups = scan_.logits.block / kTokenGroup;
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const int block = (first_group_ + g) / groups;
      if ((first_group_ + g) % groups == 0 && block < scan_.logits.blocks) {
        out[int64_t{blockIdx.y} * kMaxTokenBlocks + block] = values[g];
      }
    }
  }

  const SamplingScanLaunch& scan_;
  const int first_group_, lane_;
  float x_[kGroups][kLaneTokens];
  float max_[kGroups];
};

template <bool kWide>
__global__ void __launch_bounds__(kThreads)
    sampling_scan_kernel(const __grid_constant__ SamplingScanLaunch scan) {
  wait_for_previous();
  allow_next();
  const DeviceSamplingRow* row = scan.rows == nullptr ? nullptr : scan.rows + blockIdx.y;
  const bool wants_raw = scan.raw_sum != nullptr && (row == nullptr || row->logprobs >= 0);
  if (row != nullptr && (row->flags & DeviceSamplingRow::kActive) == 0) return;
  if (scan.sum == nullptr && !wants_raw) return;
  const int warp =
      static_cast<int>(blockIdx.x) * (kThreads / 32) + static_cast<int>(threadIdx.x) / 32;
  ScanWarp<kWide> scanned(scan, warp * kGroups);
  scanned.load(scan.sum == nullptr ? nullptr : mask_of(*row, scan.words));
  scanned.find_maxima();
  if (wants_raw) scanned.add_exponentials(1.0f, scan.raw_sum);
  if (scan.sum != nullptr && needs_total(*row, scan.logits.vocab)) {
    scanned.add_exponentials(1.0f / row->temperature, scan.sum);
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
