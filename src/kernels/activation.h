// Activation: the gate functions of MLPs.
#pragma once

#include <cstdint>

namespace lmdeploy {

enum class Activation : uint8_t { kSilu, kGelu, kGeluTanh };

}  // namespace lmdeploy
