// moe_route on the CPU.
#pragma once

#include <cstdint>

#include "kernels/moe_route.h"

namespace lmdeploy::cpu {

struct MoeRouteArgs {
  const float* logits = nullptr;
  const float* correction = nullptr;  // [experts] or nullptr
  int32_t* ids = nullptr;
  float* weights = nullptr;
  int64_t logits_stride = 0, ids_stride = 0, weights_stride = 0;
  int64_t tokens = 0;
  int experts = 0;
  MoeRouting routing;
};

void moe_route(CpuStream& stream, const MoeRouteArgs& args);

}  // namespace lmdeploy::cpu
