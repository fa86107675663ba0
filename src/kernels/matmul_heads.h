// matmul_heads: a matrix of its own for every head of the input: out_h = x_h W_h^T.
#pragma once

#include <vector>

#include "kernels/ctx.h"
#include "kernels/packed_matrix.h"

namespace lmdeploy {

struct HeadMatrices {
  int heads = 0;
  int64_t n = 0, k = 0;  // of one head's matrix
  // CPU: a matrix [n, k] a head. CUDA: one kRowMajor matrix [heads * n, k], a head's rows behind those
  // of the one before.
  std::vector<PackedMatrix> parts;

  size_t bytes() const {
    size_t sum = 0;
    for (const PackedMatrix& part : parts) sum += part.storage.bytes();
    return sum;
  }
};

// Head h multiplies columns [h * x_step, + k) of x [T, at least (heads - 1) * x_step + k] and writes
// columns [h * out_step, + n) of out [T, at least (heads - 1) * out_step + n]; other columns of out are
// left alone. T >= 0, rows may be strided. Types, rounding and what a row's result depends on are those
// of kernels/matmul.h; on CUDA products of more heads than one add up in one order for every T.
void matmul_heads(Ctx& ctx, const TensorView& x, int64_t x_step, const HeadMatrices& w,
                  const TensorView& out, int64_t out_step);

}  // namespace lmdeploy
