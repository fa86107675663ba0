#include "kernels/cpu/moe_mlp.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "kernels/cpu/row_grain.h"
#include "tensor/stream.h"

namespace lmdeploy::cpu {

void order_by_expert(const int32_t* ids, int64_t pairs, int top_k, int experts,
                     const ExpertOrder& order) {
  std::fill_n(order.first, experts + 1, 0);
  for (int64_t i = 0; i < pairs; ++i) {
    CHECK(ids[i] >= 0 && ids[i] < experts, "expert {} of {}", ids[i], experts);
    ++order.first[ids[i] + 1];
  }
  for (int e = 0; e < experts; ++e) order.first[e + 1] += order.first[e];
  // first[e] is moved to the end of e's pairs, which is where e + 1 begins, and then put back.
  for (int64_t i = 0; i < pairs; ++i) {
    const int32_t place = order.first[ids[i]]++;
    order.tokens[place] = static_cast<int32_t>(i / top_k);
    order.places[i] = place;
  }
  std::copy_backward(order.first, order.first + experts, order.first + experts + 1);
  order.first[0] = 0;
}

namespace {

constexpr int64_t kStrip = 1024;  // columns whose sums stay in the nearest cache

// Columns [begin, begin + count) of a token.
void combine_strip(const CombineExpertsArgs& args, int64_t token, int64_t begin, int64_t count,
                   float gate) {
  float sums[kStrip];
  std::fill_n(sums, count, 0.0f);
  for (int j = 0; j < args.top_k; ++j) {
    const int64_t pair = token * args.top_k + j;
    const float weight = args.weights[pair];
    const float* result = args.results + int64_t{args.places[pair]} * args.size + begin;
    for (int64_t i = 0; i < count; ++i) sums[i] += weight * result[i];
  }
  if (args.shared != nullptr) {
    const float* shared = args.shared + token * args.shared_stride + begin;
    for (int64_t i = 0; i < count; ++i) sums[i] += gate * shared[i];
  }
  float* out = args.out + token * args.out_stride + begin;
  if (args.add) {
    for (int64_t i = 0; i < count; ++i) out[i] += sums[i];
  } else {
    std::copy_n(sums, count, out);
  }
}

}  // namespace

void combine_experts(CpuStream& stream, const CombineExpertsArgs& args) {
  const auto combine = [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float gate = 1;
      if (args.shared_gate != nullptr) {
        gate = 1.0f / (1.0f + std::exp(-args.shared_gate[t * args.shared_gate_stride]));
      }
      for (int64_t i = 0; i < args.size; i += kStrip) {
        combine_strip(args, t, i, std::min(kStrip, args.size - i), gate);
      }
    }
  };
  stream.pool().parallel_for(args.tokens, row_grain(args.size * (args.top_k + 1)), combine);
}

}  // namespace lmdeploy::cpu
