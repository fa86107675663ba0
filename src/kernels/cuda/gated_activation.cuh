// The gate functions of MLPs on the device (formulas: kernels/activation.h's names in Hugging
// Face).
#pragma once

#include "kernels/activation.h"

namespace lmdeploy::cuda {

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

template <Activation kActivation>
__device__ __forceinline__ float activate(float x) {
  if constexpr (kActivation == Activation::kSilu) {
    return x * sigmoid(x);
  } else if constexpr (kActivation == Activation::kGeluTanh) {
    // x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
    return x * sigmoid(x * fmaf(x * x, 0.0713548163f, 1.59576912f));
  } else {
    return 0.5f * x * erfcf(-0.707106781f * x);
  }
}

template <Activation kActivation>
__device__ __forceinline__ float gated(float gate, float up) {
  if constexpr (kActivation == Activation::kClampedSwiglu) {
    gate = fminf(gate, kSwigluLimit);
    up = fmaxf(fminf(up, kSwigluLimit), -kSwigluLimit);
    return gate * sigmoid(kSwigluSlope * gate) * (up + 1.0f);
  } else {
    return activate<kActivation>(gate) * up;
  }
}

}  // namespace lmdeploy::cuda
