#include "kernels/cpu/rms_norm.h"

#include <cmath>

#include "kernels/cpu/row_grain.h"
#include "tensor/stream.h"

namespace lmdeploy::cpu {

namespace {

float inverse_rms(const float* x, int64_t size, float eps) {
  double sum = 0;
  for (int64_t i = 0; i < size; ++i) sum += double{x[i]} * x[i];
  return static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(size) + eps));
}

using RowsFn = void (*)(const RmsNormArgs&, int64_t, int64_t);

RowsFn rows_fn(const CpuIsa& isa) {
  if (isa.avx512) return rms_norm_rows_avx512;
  if (isa.avx2) return rms_norm_rows_avx2;
  return rms_norm_rows_plain;
}

}  // namespace

void rms_norm_rows_plain(const RmsNormArgs& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    float* residual = args.residual + row * args.residual_stride;
    if (args.delta != nullptr) {
      const float* delta = args.delta + row * args.delta_stride;
      const float scale =
          args.post_weight != nullptr ? inverse_rms(delta, args.size, args.eps) : 1.0f;
      for (int64_t i = 0; i < args.size; ++i) {
        residual[i] +=
            args.post_weight != nullptr ? delta[i] * scale * args.post_weight[i] : delta[i];
      }
    }
    const float scale = inverse_rms(residual, args.size, args.eps);
    float* out = args.out + row * args.out_stride;
    for (int64_t i = 0; i < args.size; ++i) out[i] = residual[i] * scale * args.weight[i];
  }
}

void rms_norm(CpuStream& stream, const RmsNormArgs& args) {
  const RowsFn rows = rows_fn(stream.isa());
  stream.pool().parallel_for(args.rows, row_grain(args.size),
                             [&](int64_t begin, int64_t end) { rows(args, begin, end); });
}

}  // namespace lmdeploy::cpu
