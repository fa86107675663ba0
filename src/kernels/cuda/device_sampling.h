// The ops of kernels/device_sampling.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/device_sampling.h"

namespace lmdeploy::cuda {

void device_sample(Ctx& ctx, const TensorView& logits, const DeviceSamplingRows& rows,
                   const SamplingTable& table, SampledToken* out);
void device_score(Ctx& ctx, const TensorView& logits, const TensorView& targets, int32_t logprobs,
                  SampledToken* out);

}  // namespace lmdeploy::cuda
