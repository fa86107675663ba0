// What the sampling kernels agree on: the order of tokens, which rows need what, masks, the draw's
// uniform.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cuda/device_sampling_launch.h"
#include "kernels/cuda/random.cuh"
#include "kernels/device_sampling_row.h"

namespace lmdeploy::cuda {

// A sum reaches top_p when it is this close (relative), as in kernels/cpu/sampling.h.
constexpr double kTopPSlack = 1e-6;

// Bits that order as the floats do.
__device__ __forceinline__ uint32_t ordered_bits(float x) {
  const uint32_t bits = __float_as_uint(x);
  return bits ^ ((bits >> 31) != 0 ? 0xFFFFFFFFu : 0x80000000u);
}

// A token with its logit as one number, larger for the likelier token and, where logits are equal,
// for the lower id: no two tokens of a row have the same.
__device__ __forceinline__ uint64_t rank_of(float logit, int token) {
  return uint64_t{ordered_bits(logit)} << 32 | (0xFFFFFFFFu - static_cast<uint32_t>(token));
}
__device__ __forceinline__ uint64_t first_rank(uint32_t logit_bits) {
  return uint64_t{logit_bits} << 32;
}
__device__ __forceinline__ int rank_token(uint64_t rank) {
  return static_cast<int>(0xFFFFFFFFu - static_cast<uint32_t>(rank));
}
__device__ __forceinline__ float rank_logit(uint64_t rank) {
  const uint32_t bits = static_cast<uint32_t>(rank >> 32);
  return __uint_as_float(bits ^ ((bits >> 31) != 0 ? 0x80000000u : 0xFFFFFFFFu));
}
// Every finite logit's bits are at least these.
constexpr uint32_t kLowestBits = 0x00800000u;

// exp((x - max) * scale) where x > -inf, else 0; among infinite ones each counts 1.
__device__ __forceinline__ float exponential(float x, float max, float scale) {
  if (max == INFINITY) return x == INFINITY ? 1.0f : 0.0f;
  return x > -INFINITY ? expf((x - max) * scale) : 0.0f;
}

__device__ __forceinline__ bool allowed(const uint32_t* mask, int token) {
  return (mask[token / 32] >> (token % 32) & 1) != 0;
}
__device__ __forceinline__ const uint32_t* mask_of(const DeviceSamplingRow& row,
                                                   const uint32_t* words) {
  return (row.flags & DeviceSamplingRow::kMasked) != 0 ? words + row.mask : nullptr;
}

// The logit that counts: NaN, masked tokens, and others beside an infinite one are -inf.
__device__ __forceinline__ float counted_logit(float x, int token, const uint32_t* mask,
                                               bool infinite) {
  if (!(x > -INFINITY) || (mask != nullptr && !allowed(mask, token))) return -INFINITY;
  if (infinite) return x == INFINITY ? 0.0f : -INFINITY;
  return x + 0.0f;  // -0 equals 0
}

__device__ __forceinline__ bool has_top_k(const DeviceSamplingRow& row, int vocab) {
  return row.top_k > 0 && row.top_k < vocab;
}
__device__ __forceinline__ bool draws(const DeviceSamplingRow& row) {
  constexpr uint32_t kBoth = DeviceSamplingRow::kActive | DeviceSamplingRow::kGreedy;
  return (row.flags & kBoth) == DeviceSamplingRow::kActive;
}
// Top-p of the whole vocabulary needs weigh's masses.
__device__ __forceinline__ bool needs_masses(const DeviceSamplingRow& row, int vocab) {
  return draws(row) && row.top_p < 1 && !has_top_k(row, vocab);
}
// Where no filter is on, the draw begins with the scan's sums of the blocks.
__device__ __forceinline__ bool needs_sums(const DeviceSamplingRow& row, int vocab) {
  return draws(row) && !(row.top_p < 1) && !(row.min_p > 0) && !has_top_k(row, vocab);
}

// How far below `top` a logit lies, as a bin: distances of 1 / kBinsPerNat each, at the row's
// temperature. It grows as the logit falls.
__device__ __forceinline__ int mass_bin(float x, float top, float scale) {
  const float bin = (top - x) * scale * kBinsPerNat;
  return bin < kMassBins - 1 ? static_cast<int>(bin) : kMassBins - 1;
}
// A weight, relative to that of its bin's upper edge, in units of 2^-31: integers, so that sums do
// not depend on the order.
constexpr double kMassUnit = 0x1p31;
// Whether the edits change the row's logits in place.
__device__ __forceinline__ bool edits_logits(const DeviceSamplingRow& row) {
  return (row.flags & DeviceSamplingRow::kPenalties) != 0 || row.bias.count > 0 ||
         row.banned.count > 0;
}

// Of a raw logit.
__device__ __forceinline__ float logprob_of(const LogSoftmax& softmax, float x) {
  if (!(x > -INFINITY)) return -INFINITY;
  if (softmax.max == INFINITY) {
    return x == INFINITY ? static_cast<float>(-softmax.log_sum) : -INFINITY;
  }
  return static_cast<float>(double{x} - softmax.max - softmax.log_sum);
}

__device__ __forceinline__ double draw_uniform(const DeviceSamplingRow& row) {
  return uniform_from_bits(hash_random(row.seed, static_cast<uint64_t>(row.position)));
}

}  // namespace lmdeploy::cuda
