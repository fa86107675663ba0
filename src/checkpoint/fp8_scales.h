// Matrices of fp8 find their scales, as the tools that quantize name and shape them.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "checkpoint/checkpoint.h"
#include "checkpoint/problem_list.h"
#include "checkpoint/quantization.h"

namespace lmdeploy {

// Gives every fp8 (e4m3) matrix NAME.weight [n, k] its scales, NAME.weight_scale_inv or
// NAME.weight_scale in f32, bf16 or f16, which leave `tensors`: one for the matrix ([] or [1]), one
// a row ([n, 1] or [n]), or one for each `block`. Scales of activations and of the KV cache leave
// `tensors`, too: both are 16-bit here. Codes whose scales are missing or of another shape are a
// problem.
void attach_fp8_scales(const std::optional<BlockShape>& block,
                       std::map<std::string, TensorRecord, std::less<>>& tensors,
                       ProblemList& problems);

}  // namespace lmdeploy
