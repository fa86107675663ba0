#include "kernels/cpu/softcap.h"

#include <cmath>

#include "tensor/cpu/isa.h"

namespace lmdeploy::cpu {

SoftcapFn softcap_fn(const CpuIsa& isa) {
  if (isa.avx512) return softcap_avx512;
  if (isa.avx2) return softcap_avx2;
  return softcap_plain;
}

void softcap_plain(float* x, int64_t count, float cap) {
  for (int64_t i = 0; i < count; ++i) x[i] = cap * std::tanh(x[i] / cap);
}

}  // namespace lmdeploy::cpu
