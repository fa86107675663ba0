// Embedding lookup from a packed table (the same memory as a tied lm_head).
#pragma once

#include "kernels/ctx.h"
#include "kernels/packed_matrix.h"

namespace lmdeploy {

// out[t] = scale * table[ids[t] - first_id], or zeros where the table has no such row (another rank
// has it); ids i32 [T], out f32 [T, table.k]. CUDA: the table is row-major f32, f16 or bf16, out of
// its type.
void embedding(Ctx& ctx, const TensorView& ids, const PackedMatrix& table, int64_t first_id,
               float scale, const TensorView& out);

}  // namespace lmdeploy
