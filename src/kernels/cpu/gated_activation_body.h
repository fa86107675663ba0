// gated_activation_rows, written once over V = F32Vec of AVX2 or AVX-512.
#pragma once

#include "kernels/cpu/gated_activation.h"
#include "kernels/cpu/vec_math.h"

namespace lmdeploy::cpu {

template <Activation kActivation, class V>
inline V activate(V x) {
  if constexpr (kActivation == Activation::kSilu) {
    return x * sigmoid(x);
  } else if constexpr (kActivation == Activation::kGeluTanh) {
    // x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
    const V u = x * fma(x * x, V::all(0.0713548163f), V::all(1.59576912f));
    return x * sigmoid(u);
  } else {
    const V tail = normal_tail(x.abs());
    return x * V::select_less(x, V::zero(), tail, V::all(1.0f) - tail);
  }
}

// The formulas of kernels/activation.h.
template <Activation kActivation, class V>
inline V gated(V gate, V up) {
  if constexpr (kActivation == Activation::kClampedSwiglu) {
    const V limit = V::all(kSwigluLimit), floor = V::all(-kSwigluLimit);
    const V capped = V::min(gate, limit);
    const V bounded = V::max(V::min(up, limit), floor);
    return capped * sigmoid(V::all(kSwigluSlope) * capped) * (bounded + V::all(1.0f));
  } else {
    return activate<kActivation>(gate) * up;
  }
}

template <Activation kActivation, class V>
inline void gated_activation_row(const float* gate, const float* up, float* out, int64_t size) {
  for (int64_t i = 0; i < size; i += V::kLanes) {
    const int count = static_cast<int>(size - i < V::kLanes ? size - i : V::kLanes);
    gated<kActivation>(V::load(gate + i, count), V::load(up + i, count)).store(out + i, count);
  }
}

template <class V>
inline void gated_activation_rows(const GatedActivationArgs& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* gate = args.gate + row * args.gate_up_stride;
    const float* up = args.up + row * args.gate_up_stride;
    float* out = args.out + row * args.out_stride;
    switch (args.activation) {
      case Activation::kSilu:
        gated_activation_row<Activation::kSilu, V>(gate, up, out, args.size);
        break;
      case Activation::kGelu:
        gated_activation_row<Activation::kGelu, V>(gate, up, out, args.size);
        break;
      case Activation::kGeluTanh:
        gated_activation_row<Activation::kGeluTanh, V>(gate, up, out, args.size);
        break;
      case Activation::kClampedSwiglu:
        gated_activation_row<Activation::kClampedSwiglu, V>(gate, up, out, args.size);
        break;
    }
  }
}

}  // namespace lmdeploy::cpu
