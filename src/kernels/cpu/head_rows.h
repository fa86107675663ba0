// What attention_input and latent_input do to one head of a row, in plain C++.
#pragma once

#include <cstddef>

#include "kernels/cpu/kv_type.h"

namespace lmdeploy::cpu {

// x = x * rsqrt(mean(x^2) + eps) * weight.
void norm_head(float* x, const float* weight, int size, float eps);

// Pairs (i, half + i) of x are turned into `to`, which may be x; cos_sin [2 half].
void rotate_head(const float* x, const float* cos_sin, int half, float* to);

// x rounded to `type`, clamped to f16's range.
void store_head(const float* x, int size, KvType type, std::byte* to);

}  // namespace lmdeploy::cpu
