// apply_activation, written once over V = F32Vec of AVX2 or AVX-512.
#pragma once

#include "kernels/cpu/apply_activation.h"
#include "kernels/cpu/gated_activation_body.h"

namespace lmdeploy::cpu {

template <Activation kActivation, class V>
inline void activate_span(float* x, int64_t count) {
  for (int64_t i = 0; i < count; i += V::kLanes) {
    const int lanes = static_cast<int>(count - i < V::kLanes ? count - i : V::kLanes);
    activate<kActivation>(V::load(x + i, lanes)).store(x + i, lanes);
  }
}

template <class V>
inline void activate_vectors(float* x, int64_t count, Activation activation) {
  switch (activation) {
    case Activation::kSilu: return activate_span<Activation::kSilu, V>(x, count);
    case Activation::kGelu: return activate_span<Activation::kGelu, V>(x, count);
    case Activation::kGeluTanh: return activate_span<Activation::kGeluTanh, V>(x, count);
    default: return;  // refused by the op
  }
}

}  // namespace lmdeploy::cpu
