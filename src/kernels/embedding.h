// Embedding lookup from a packed table (the same memory as a tied lm_head).
#pragma once

#include "kernels/ctx.h"
#include "kernels/packed_matrix.h"

namespace lmdeploy {

// out[t] = scale * table[ids[t]]; ids i32 [T] within [0, table.n), out f32 [T, table.k]. CUDA: the
// table is row-major f32, f16 or bf16, out of its type; rows of ids outside the table become 0.
void embedding(Ctx& ctx, const TensorView& ids, const PackedMatrix& table, float scale,
               const TensorView& out);

}  // namespace lmdeploy
