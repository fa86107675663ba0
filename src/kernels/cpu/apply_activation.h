// apply_activation on the CPU.
#pragma once

#include <cstdint>

#include "kernels/activation.h"

namespace lmdeploy {
class CpuStream;
}

namespace lmdeploy::cpu {

// Rows of `size` elements, `stride` apart.
void apply_activation(CpuStream& stream, float* x, int64_t stride, int64_t rows, int64_t size,
                      Activation activation);

// `count` elements beside each other.
void activate_plain(float* x, int64_t count, Activation activation);
void activate_avx2(float* x, int64_t count, Activation activation);
void activate_avx512(float* x, int64_t count, Activation activation);

}  // namespace lmdeploy::cpu
