// The type of the CPU's KV cache. On CUDA it is that of the activations.
#pragma once

#include <string>

#include "checkpoint/checkpoint.h"

namespace lmdeploy {

// `dtype`: --dtype. At auto that of the checkpoint (checkpoint/weight_type.h): bf16 for block formats,
// since AMX multiplies it and their weights are coarser than it.
DType cpu_kv_type(const std::string& dtype, const Checkpoint& checkpoint);

}  // namespace lmdeploy
