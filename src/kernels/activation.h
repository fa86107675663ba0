// Activation: the gate functions of MLPs.
#pragma once

#include <cstdint>

namespace lmdeploy {

enum class Activation : uint8_t {
  kSilu,
  kGelu,
  kGeluTanh,
  // gpt-oss: with gate <= limit and up clamped to +- limit,
  // gate sigmoid(1.702 gate) (up + 1) in the place of act(gate) up.
  kClampedSwiglu,
};

inline constexpr float kSwigluLimit = 7.0f, kSwigluSlope = 1.702f;

}  // namespace lmdeploy
