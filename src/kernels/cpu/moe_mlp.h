// The parts of moe_mlp on the CPU that are no products.
#pragma once

#include <cstdint>

namespace lmdeploy {
class CpuStream;
}

namespace lmdeploy::cpu {

// The (token, choice) pairs sorted by expert, those of an expert in the order of tokens.
struct ExpertOrder {
  int32_t* first = nullptr;   // [experts + 1]: expert e's pairs are [first[e], first[e + 1])
  int32_t* tokens = nullptr;  // [pairs]: token of each
  int32_t* places = nullptr;  // [pairs]: where pair token * top_k + choice went
};

// CHECKs that every id is in [0, experts).
void order_by_expert(const int32_t* ids, int64_t pairs, int top_k, int experts,
                     const ExpertOrder& order);

struct CombineExpertsArgs {
  const float* results = nullptr;  // [pairs, size] in the order of ExpertOrder
  const int32_t* places = nullptr;
  const float* weights = nullptr;      // [tokens, top_k]
  const float* shared = nullptr;       // [tokens, size] or nullptr
  const float* shared_gate = nullptr;  // [tokens, 1] or nullptr
  float* out = nullptr;
  int64_t shared_stride = 0, shared_gate_stride = 0, out_stride = 0;
  int64_t tokens = 0;
  int64_t size = 0;
  int top_k = 0;
  bool add = false;  // out += the sum
};

void combine_experts(CpuStream& stream, const CombineExpertsArgs& args);

}  // namespace lmdeploy::cpu
