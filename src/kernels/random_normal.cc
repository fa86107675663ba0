#include "kernels/random_normal.h"

#include "base/random.h"
#include "kernels/cuda/random_normal.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

namespace {

void store(float value, float& out) { out = value; }
void store(float value, f16& out) { out = to_f16(value); }
void store(float value, bf16& out) { out = to_bf16(value); }

template <class T>
void fill(Ctx& ctx, const RandomNormal& values, const TensorView& out) {
  cpu_stream(ctx).pool().parallel_for(out.dim(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      T* row = out.row<T>(r);
      const int64_t first = values.first + r * values.row_elements;
      for (int64_t c = 0; c < out.dim(1); ++c) {
        const double normal = hash_normal(values.key, static_cast<uint64_t>(first + c));
        store(static_cast<float>(double{values.mean} + double{values.stddev} * normal), row[c]);
      }
    }
  });
}

}  // namespace

void random_normal(Ctx& ctx, const RandomNormal& values, const TensorView& out) {
  check_view(ctx, "random_normal", "out", out, out.dtype(), {kAnySize, kAnySize});
  if (!ctx.on_cpu()) return cuda::random_normal(ctx, values, out);
  switch (out.dtype()) {
    case DType::kF32: return fill<float>(ctx, values, out);
    case DType::kF16: return fill<f16>(ctx, values, out);
    case DType::kBF16: return fill<bf16>(ctx, values, out);
    default:
      CHECK(false, "random_normal: out is {}; expected f32, f16 or bf16", dtype_name(out.dtype()));
  }
}

}  // namespace lmdeploy
