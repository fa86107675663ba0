// Random weights (`--load-format dummy`): values that depend on a tensor's name and an element's
// index alone (base/random.h).
#pragma once

#include "kernels/ctx.h"

namespace lmdeploy {

// Columns [first % row_elements, ...) of rows of a tensor whose rows have row_elements elements.
struct RandomNormal {
  uint64_t key = 0;          // hash_name() of the tensor
  int64_t first = 0;         // index of out[0][0] in the whole tensor
  int64_t row_elements = 0;  // index of out[r + 1][c] minus that of out[r][c]
  float mean = 0;
  float stddev = 0;
};

// out[r][c] = mean + stddev * hash_normal(key, first + r * row_elements + c) in double, rounded to
// fp32 and then to out's type. out [R, C] f32, f16 or bf16 (rows may be strided).
void random_normal(Ctx& ctx, const RandomNormal& values, const TensorView& out);

}  // namespace lmdeploy
