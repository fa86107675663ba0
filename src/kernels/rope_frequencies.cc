#include "kernels/rope_frequencies.h"

#include <algorithm>
#include <cmath>

#include "kernels/cuda/rope_frequencies.h"
#include "kernels/op_checks.h"

namespace lmdeploy {
namespace {

// s of a sequence longer than the limit.
double stretch_of(const RopeByLength& rope, int64_t length) {
  if (!rope.by_doublings) {
    return rope.factor * static_cast<double>(length) / static_cast<double>(rope.limit) -
           (rope.factor - 1.0);
  }
  int64_t reached = rope.limit;
  double power = 2.0;
  for (; reached < length; reached *= 2) power *= 2.0;
  return power - 1.0;
}

}  // namespace

void rope_frequencies(Ctx& ctx, const TensorView& lengths, const RopeByLength& rope,
                      const TensorView& out) {
  constexpr const char* kOp = "rope_frequencies";
  check_view(ctx, kOp, "lengths", lengths, DType::kI32, {kAnySize});
  check_view(ctx, kOp, "out", out, DType::kF32, {lengths.dim(0), kAnySize});
  check_view(ctx, kOp, "within", rope.within, DType::kF32, {1, out.dim(1)});
  check_optional_view(ctx, kOp, "beyond", rope.beyond, DType::kF32, {1, out.dim(1)});
  CHECK(rope.limit > 0 && out.dim(1) > 1, "rope_frequencies: limit {}, {} frequencies", rope.limit,
        out.dim(1));
  if (!ctx.on_cpu()) return cuda::rope_frequencies(ctx, lengths, rope, out);
  const int64_t half = out.dim(1);
  const float* within = rope.within.data<float>();
  for (int64_t b = 0; b < lengths.dim(0); ++b) {
    const int64_t length = *lengths.row<int32_t>(b);
    float* row = out.row<float>(b);
    if (length <= rope.limit || !rope.beyond.empty()) {
      std::copy_n(length <= rope.limit ? within : rope.beyond.data<float>(), half, row);
      continue;
    }
    const double stretch = stretch_of(rope, length);
    for (int64_t i = 0; i < half; ++i) {
      const double exponent = -static_cast<double>(i) / static_cast<double>(half - 1);
      row[i] = static_cast<float>(double{within[i]} * std::pow(stretch, exponent));
    }
  }
}

}  // namespace lmdeploy
