// HeadLinear: a matrix of its own for every head of the input: out_h = x_h W_h^T.
#pragma once

#include <mutex>
#include <span>
#include <string>

#include "checkpoint/load_plan.h"
#include "kernels/matmul_heads.h"
#include "nn/build_options.h"

namespace lmdeploy {

// Where the heads' matrices stand: head h has rows [h * stride + first, ...) of `tensor`.
struct HeadRows {
  std::string tensor;  // under the scope, without ".weight"
  int64_t columns = 0;
  int64_t stride = 0;
  int64_t first = 0;
  int64_t rows = 0;
  bool transposed = false;  // the rows are the inputs, the columns the outputs
};

// Does not move: its declared loads point to it.
class HeadLinear {
 public:
  // `heads`: over all ranks; a rank has its share of them.
  HeadLinear(const Weights& weights, const BuildOptions& options, int heads, const HeadRows& rows);
  HeadLinear(const HeadLinear&) = delete;
  HeadLinear& operator=(const HeadLinear&) = delete;

  // Head h reads columns [h * x_step, ...) of x and writes columns [h * out_step, ...) of out.
  void forward(Ctx& ctx, const TensorView& x, int64_t x_step, const TensorView& out,
               int64_t out_step) const {
    matmul_heads(ctx, x, x_step, matrices_, out, out_step);
  }
  size_t bytes() const { return matrices_.bytes(); }

 private:
  // Thread-safe for different heads.
  Status store(int head, std::span<const LoadedSlice> slices, const BuildOptions& options,
               const std::string& name);

  HeadMatrices matrices_;
  std::once_flag allocated_;  // the parts
};

}  // namespace lmdeploy
