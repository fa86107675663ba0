#include "kernels/embedding.h"

#include "base/check.h"

namespace lmdeploy {

void embedding(Ctx& ctx, const TensorView& ids, const PackedMatrix& table, float scale,
               const TensorView& out) {
  CHECK(ctx.on_cpu(), "the embedding of packed tables runs on the CPU");
  CHECK(ids.dtype() == DType::kI32 && ids.shape().rank() == 1, "ids are {} {}", dtype_name(ids.dtype()),
        ids.shape().to_string());
  CHECK(out.dtype() == DType::kF32 && out.shape() == (Shape{ids.dim(0), table.k}), "out is {} {}, want f32 {}",
        dtype_name(out.dtype()), out.shape().to_string(), (Shape{ids.dim(0), table.k}).to_string());
  cpu_stream(ctx).pool().parallel_for(ids.dim(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* row = out.row<float>(t);
      unpack_row(table, *ids.row<int32_t>(t), row);
      if (scale == 1.0f) continue;
      for (int64_t i = 0; i < table.k; ++i) row[i] *= scale;
    }
  });
}

}  // namespace lmdeploy
