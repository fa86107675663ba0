// The op of kernels/attention_input.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/attention_input.h"

namespace lmdeploy::cuda {

constexpr int kMaxHeadDim = 256;  // of attention and its input

// qkv is f32, f16 or bf16, and so are the pages. Values in qkv are rounded once, after norm and
// rotation; k and v go to the pages rounded from fp32, f16 limited to its largest finite value.
void attention_input(Ctx& ctx, const TensorView& qkv, const AttentionInputParams& params,
                     const TensorView& slot_map, const PagedKv& kv);

}  // namespace lmdeploy::cuda
