// Rotation frequencies of sequences whose rotation depends on their length (dynamic NTK, longrope;
// models.md 1.3).
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy {

struct RopeByLength {
  int64_t limit = 0;  // tokens up to which `within` holds
  TensorView within;  // f32 [1, d/2]
  TensorView beyond;  // f32 [1, d/2] for longer sequences (longrope), or empty: dynamic NTK
  double factor = 1;  // of dynamic NTK
  bool by_doublings = false;  // Qwen v1's dynamic NTK
};

// out[b] f32 [B, d/2] for a sequence of lengths[b] tokens (i32 [B]): within, where lengths[b] <=
// limit; else beyond, or with dynamic NTK, whose base theta is theta * s^(d / (d - 2)),
//   out[b][i] = within[i] * s^(-2 i / (d - 2)),  s = factor * lengths[b] / limit - (factor - 1),
// and by_doublings s = 2^(ceil(log2(lengths[b] / limit)) + 1) - 1: one for each doubling of the length.
void rope_frequencies(Ctx& ctx, const TensorView& lengths, const RopeByLength& rope,
                      const TensorView& out);

}  // namespace lmdeploy
