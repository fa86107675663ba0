// expanded_attention of kernels/expanded_attention.h on the CPU: plain, what other devices are compared
// with.
#pragma once

#include "kernels/expanded_attention.h"

namespace lmdeploy::cpu {

void expanded_attention(CpuStream& stream, const ExpandedInputs& in, const AttentionBatch& batch,
                        const ExpandedParams& params, const TensorView& out);

}  // namespace lmdeploy::cpu
