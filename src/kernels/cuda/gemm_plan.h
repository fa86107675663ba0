// How the Hopper product is cut up for a shape.
#pragma once

#include <cstdint>

#include "kernels/cuda/matmul_launch.h"

namespace lmdeploy::cuda {

// x [rows, k] times weights [n, k]^T on a device of `multiprocessors`. batch_invariant: the order
// in which a row's sums are made does not depend on `rows` (wgmma adds along k alike for every
// width of tile, and the split depends on n and k alone).
GemmPlan plan_gemm(int64_t rows, int64_t n, int64_t k, int multiprocessors, bool batch_invariant);

// The same of groups (kernels/cuda/matmul_launch.h): `rows` rows in all, at most `most_rows` of one
// of the `matrices` [n, k]. tile_t depends neither on n nor on the device.
GemmPlan plan_grouped_gemm(int64_t rows, int64_t most_rows, int matrices, int64_t n,
                           int multiprocessors);

// x [rows, .] times a matrix [n, .] a head. A row's sums are made in one order.
GemmPlan plan_heads_gemm(int64_t rows, int heads, int64_t n, int multiprocessors);

}  // namespace lmdeploy::cuda
