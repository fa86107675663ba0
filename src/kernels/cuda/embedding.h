// The embedding lookup of kernels/embedding.h on CUDA; kernels/none/ in builds without it.
#pragma once

#include "kernels/ctx.h"
#include "kernels/packed_matrix.h"

namespace lmdeploy::cuda {

void embedding(Ctx& ctx, const TensorView& ids, const PackedMatrix& table, int64_t first_id,
               float scale, const TensorView& out);

}  // namespace lmdeploy::cuda
