// softcap on the CPU.
#pragma once

#include <cstdint>

namespace lmdeploy {
struct CpuIsa;
}

namespace lmdeploy::cpu {

// x = cap * tanh(x / cap) of `count` elements beside each other.
using SoftcapFn = void (*)(float* x, int64_t count, float cap);

SoftcapFn softcap_fn(const CpuIsa& isa);

void softcap_plain(float* x, int64_t count, float cap);
void softcap_avx2(float* x, int64_t count, float cap);
void softcap_avx512(float* x, int64_t count, float cap);

}  // namespace lmdeploy::cpu
