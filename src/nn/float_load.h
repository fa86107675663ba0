// Loads of plain vectors (norm weights, biases), which modules keep in fp32 whatever the checkpoint
// has.
#pragma once

#include <span>

#include "base/status.h"
#include "checkpoint/load_plan.h"
#include "nn/build_options.h"

namespace lmdeploy {

// Writes the slice to out[rows * cols] as fp32. kUnsupported for a type that is not f32, f16 or
// bf16.
Status copy_floats(const LoadedSlice& slice, float* out);

// The values as an f32 tensor of `shape` where the model runs.
Tensor float_tensor(std::span<const float> values, Shape shape, const BuildOptions& options);

}  // namespace lmdeploy
