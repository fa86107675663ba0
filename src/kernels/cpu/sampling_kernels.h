// The passes over the vocabulary that the fast sampler is made of, one set an instruction set. A
// row is walked in blocks of `block` values; block_max and block_sum hold one value a block.
#pragma once

#include <cstdint>

namespace lmdeploy::cpu {

struct SamplingKernels {
  // Maximum of each block, NaN ignored (-inf where there is nothing else). With `mask` (bit per
  // token) the values whose bit is clear become -inf first.
  void (*scan)(float* values, int64_t count, int64_t block, const uint32_t* mask, float* block_max);
  // values = exp((values - max) * inverse_temperature), 0 for NaN; maximum and sum of each block.
  void (*weigh)(float* values, int64_t count, int64_t block, float max, float inverse_temperature,
                float* block_max, double* block_sum);
  // Sum of exp(values - max); NaN counts 0.
  double (*sum_exp)(const float* values, int64_t count, float max);
  // Ids of the values >= threshold, ascending; blocks whose maximum is below it are skipped.
  int64_t (*collect)(const float* values, int64_t count, int64_t block, const float* block_max,
                     float threshold, int32_t* ids);
};
SamplingKernels sampling_kernels_avx2();
SamplingKernels sampling_kernels_avx512();

}  // namespace lmdeploy::cpu
