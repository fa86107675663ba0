// The kernels of sampling_kernels.h, written once over V = F32Vec of AVX2 or AVX-512.
#pragma once

#include "kernels/cpu/sampling_kernels.h"
#include "kernels/cpu/vec_math.h"

namespace lmdeploy::cpu {

// Calls fn(i, n) for the vectors of [begin, end), n lanes each.
template <class V, class Fn>
inline void for_lanes(int64_t begin, int64_t end, Fn&& fn) {
  int64_t i = begin;
  for (; i + V::kLanes <= end; i += V::kLanes) fn(i, V::kLanes);
  if (i < end) fn(i, static_cast<int>(end - i));
}

// Calls fn(index, begin, end) for each block.
template <class Fn>
inline void for_blocks(int64_t count, int64_t block, Fn&& fn) {
  for (int64_t begin = 0, index = 0; begin < count; begin += block, ++index) {
    fn(index, begin, begin + block < count ? begin + block : count);
  }
}

template <class V>
inline void scan_logits(float* values, int64_t count, int64_t block, const uint32_t* mask,
                        float* block_max) {
  const V lowest = V::all(-__builtin_inff());
  for_blocks(count, block, [&](int64_t index, int64_t begin, int64_t end) {
    V max = lowest;
    for_lanes<V>(begin, end, [&](int64_t i, int n) {
      V x = V::load(values + i, n).keep_lanes(0, n, lowest);
      if (mask != nullptr) {
        x = x.keep_bits(mask[i / 32] >> (i % 32), lowest);
        x.store(values + i, n);
      }
      max = V::max(x, max);  // a NaN in x loses
    });
    block_max[index] = max.max();
  });
}

// exp of the scaled distance to the maximum; NaN gives 0.
template <class V>
inline V weight(V x, V max, V inverse_temperature) {
  const V lowest = V::all(-__builtin_inff());
  return exp(V::max((x - max) * inverse_temperature, lowest));
}

template <class V>
inline void weigh_logits(float* values, int64_t count, int64_t block, float max,
                         float inverse_temperature, float* block_max, double* block_sum) {
  for_blocks(count, block, [&](int64_t index, int64_t begin, int64_t end) {
    V top = V::zero(), sum = V::zero();
    for_lanes<V>(begin, end, [&](int64_t i, int n) {
      const V w = weight(V::load(values + i, n), V::all(max), V::all(inverse_temperature))
                      .keep_lanes(0, n, V::zero());
      w.store(values + i, n);
      top = V::max(top, w);
      sum = sum + w;
    });
    block_max[index] = top.max();
    block_sum[index] = sum.sum_double();
  });
}

template <class V>
inline double sum_exp(const float* values, int64_t count, float max) {
  constexpr int64_t kBlock = 512;  // fp32 sums stay short
  double total = 0;
  for_blocks(count, kBlock, [&](int64_t, int64_t begin, int64_t end) {
    V sum = V::zero();
    for_lanes<V>(begin, end, [&](int64_t i, int n) {
      sum = sum +
            weight(V::load(values + i, n), V::all(max), V::all(1.0f)).keep_lanes(0, n, V::zero());
    });
    total += sum.sum_double();
  });
  return total;
}

template <class V>
inline int64_t collect_ids(const float* values, int64_t count, int64_t block,
                           const float* block_max, float threshold, int32_t* ids) {
  int64_t found = 0;
  for_blocks(count, block, [&](int64_t index, int64_t begin, int64_t end) {
    if (!(block_max[index] >= threshold)) return;
    for_lanes<V>(begin, end, [&](int64_t i, int n) {
      uint32_t bits = V::load(values + i, n).at_least(V::all(threshold)) & ((1u << n) - 1u);
      for (; bits != 0; bits &= bits - 1)
        ids[found++] = static_cast<int32_t>(i + __builtin_ctz(bits));
    });
  });
  return found;
}

template <class V>
inline SamplingKernels sampling_kernels() {
  return {scan_logits<V>, weigh_logits<V>, sum_exp<V>, collect_ids<V>};
}

}  // namespace lmdeploy::cpu
