// Rotary position embedding, half-split layout: pairs (x_i, x_{i + d/2}) (models.md 1.3).
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy {

// cos_sin [T, d] f32: cos in [0, d/2), sin in [d/2, d), times `attention_scale`, of angle
// positions[t] * inv_freq[f(t)][i]. positions i32 [T]. inv_freq f32 [F, d/2]; freq_row i32 [T] says
// which row each token uses, empty: row 0 for all (one table is enough unless dynamic NTK is on).
// Computed once a step, shared by the layers. Angles are computed in fp32 as position * inv_freq.
void rope_cos_sin(Ctx& ctx, const TensorView& positions, const TensorView& inv_freq,
                  const TensorView& freq_row, float attention_scale, const TensorView& cos_sin);

}  // namespace lmdeploy
