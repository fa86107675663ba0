// Rows of length one: an output matrix whose logits are cosines times the length of the hidden state
// (Baichuan 2's NormHead).
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/status.h"
#include "checkpoint/load_plan.h"

namespace lmdeploy {

// The slice with each row divided by its length (at least 1e-12), computed in fp32 and rounded to the
// slice's type, of fp8 to bf16; its data is in `storage`. A dummy's recipe comes back as it is.
// kUnsupported, with `name`, for a type that is not f32, f16, bf16 or fp8 with scales.
Result<LoadedSlice> divide_rows(const LoadedSlice& slice, const std::string& name,
                                std::vector<std::byte>& storage);

}  // namespace lmdeploy
