#include "kernels/cpu/rope.h"

#include <cmath>

#include "kernels/cpu/row_grain.h"
#include "tensor/stream.h"

namespace lmdeploy::cpu {

namespace {

using RowsFn = void (*)(const RopeCosSinArgs&, int64_t, int64_t);

RowsFn rows_fn(const CpuIsa& isa) {
  if (isa.avx512) return rope_cos_sin_rows_avx512;
  if (isa.avx2) return rope_cos_sin_rows_avx2;
  return rope_cos_sin_rows_plain;
}

}  // namespace

void rope_cos_sin_rows_plain(const RopeCosSinArgs& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const int64_t table = args.freq_row != nullptr ? args.freq_row[row] : 0;
    const float* inv_freq = args.inv_freq + table * args.inv_freq_stride;
    float* out = args.cos_sin + row * args.cos_sin_stride;
    for (int64_t i = 0; i < args.half; ++i) {
      const float angle = static_cast<float>(args.positions[row]) * inv_freq[i];
      out[i] = static_cast<float>(std::cos(double{angle})) * args.attention_scale;
      out[args.half + i] = static_cast<float>(std::sin(double{angle})) * args.attention_scale;
    }
  }
}

void rope_cos_sin(CpuStream& stream, const RopeCosSinArgs& args) {
  constexpr int64_t kWorkPerAngle = 8;  // beside a plain streaming element
  const RowsFn rows = rows_fn(stream.isa());
  stream.pool().parallel_for(args.rows, row_grain(args.half * kWorkPerAngle),
                             [&](int64_t begin, int64_t end) { rows(args, begin, end); });
}

}  // namespace lmdeploy::cpu
