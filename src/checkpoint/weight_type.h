// The one type that stands for a checkpoint's weights: that of a KV cache or of a GPU's matrices, where the
// user leaves it open.
#pragma once

#include "checkpoint/checkpoint.h"

namespace lmdeploy {

// What torch_dtype of the configuration says; bf16 where it says nothing of f32, f16 and bf16.
DType configured_weight_type(const json::object& config);

// bf16, whose range holds any value of a block format, where a matrix has one; else the type of the
// embedding, or of most bytes of the matrices where the embedding is neither f32, f16 nor bf16; the
// configured one where no matrix is.
DType stored_weight_type(const Checkpoint& checkpoint);

}  // namespace lmdeploy
