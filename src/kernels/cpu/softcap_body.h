// softcap, written once over V = F32Vec of AVX2 or AVX-512.
#pragma once

#include "kernels/cpu/softcap.h"
#include "kernels/cpu/vec_math.h"

namespace lmdeploy::cpu {

template <class V>
inline void softcap_vectors(float* x, int64_t count, float cap) {
  for (int64_t i = 0; i < count; i += V::kLanes) {
    const int lanes = count - i < V::kLanes ? static_cast<int>(count - i) : V::kLanes;
    (V::all(cap) * tanh(V::load(x + i, lanes) / V::all(cap))).store(x + i, lanes);
  }
}

}  // namespace lmdeploy::cpu
