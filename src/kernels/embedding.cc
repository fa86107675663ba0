#include "kernels/embedding.h"

#include <algorithm>

#include "kernels/cuda/embedding.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

namespace {

void check_row_major(const PackedMatrix& table, DType dtype) {
  CHECK(table.layout != PackedLayout::kInterleaved && table.segments.size() == 1 &&
            table.format == dtype,
        "embedding: the table is {} in {} parts; CUDA wants one row-major {} part",
        dtype_name(table.format), table.segments.size(), dtype_name(dtype));
}

}  // namespace

void embedding(Ctx& ctx, const TensorView& ids, const PackedMatrix& table, int64_t first_id,
               float scale, const TensorView& out) {
  const DType dtype = activation_dtype(ctx, "embedding", out);
  check_view(ctx, "embedding", "ids", ids, DType::kI32, {kAnySize});
  check_view(ctx, "embedding", "out", out, dtype, {ids.dim(0), table.k});
  if (!ctx.on_cpu()) {
    check_row_major(table, dtype);
    return cuda::embedding(ctx, ids, table, first_id, scale, out);
  }
  cpu_stream(ctx).pool().parallel_for(ids.dim(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* row = out.row<float>(t);
      const int64_t id = *ids.row<int32_t>(t) - first_id;
      if (id < 0 || id >= table.n) {
        std::fill_n(row, table.k, 0.0f);
        continue;
      }
      unpack_row(table, id, row);
      if (scale == 1.0f) continue;
      for (int64_t i = 0; i < table.k; ++i) row[i] *= scale;
    }
  });
}

}  // namespace lmdeploy
