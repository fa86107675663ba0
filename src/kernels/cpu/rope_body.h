// rope_cos_sin_rows, written once over V = F32Vec of AVX2 or AVX-512.
#pragma once

#include "kernels/cpu/rope.h"
#include "kernels/cpu/vec_math.h"

namespace lmdeploy::cpu {

template <class V>
inline void rope_cos_sin_rows(const RopeCosSinArgs& args, int64_t begin, int64_t end) {
  const V scale = V::all(args.attention_scale);
  for (int64_t row = begin; row < end; ++row) {
    const int64_t table = args.freq_row != nullptr ? args.freq_row[row] : 0;
    const float* inv_freq = args.inv_freq + table * args.inv_freq_stride;
    float* out = args.cos_sin + row * args.cos_sin_stride;
    const V position = V::all(static_cast<float>(args.positions[row]));
    for (int64_t i = 0; i < args.half; i += V::kLanes) {
      const int count = static_cast<int>(args.half - i < V::kLanes ? args.half - i : V::kLanes);
      V sine, cosine;
      sine_cosine(position * V::load(inv_freq + i, count), sine, cosine);
      (cosine * scale).store(out + i, count);
      (sine * scale).store(out + args.half + i, count);
    }
  }
}

}  // namespace lmdeploy::cpu
