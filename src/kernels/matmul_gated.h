// matmul_gated: out = act(x Wg^T + bg) * (x Wu^T + bu), the first half of a gated MLP.
#pragma once

#include "kernels/activation.h"
#include "kernels/ctx.h"
#include "kernels/packed_matrix.h"

namespace lmdeploy {

// x [T, k] (rows may be strided), W packed [2 I, k]: Wg in rows [0, I), Wu in [I, 2 I); bias [2 I]
// fp32 or empty; out [T, I] of the activations' type (rows may be strided). T >= 0.
//
// It is matmul and gated_activation, with what lies between in ctx.scratch; on the CPU with their
// bits. On Hopper up to 128 rows (with ctx.batch_invariant any number) are one kernel where no bias
// and no split of k is in the way: gate and up are then not rounded in between.
//
// With ctx.batch_invariant a row's bits do not depend on T.
void matmul_gated(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
                  Activation activation, const TensorView& out);

}  // namespace lmdeploy
