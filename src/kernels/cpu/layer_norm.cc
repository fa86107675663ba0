#include "kernels/cpu/layer_norm.h"

#include <cmath>

#include "kernels/cpu/row_grain.h"
#include "tensor/stream.h"

namespace lmdeploy::cpu {

namespace {

using RowFn = void (*)(const LayerNormRow&);

RowFn row_fn(const CpuIsa& isa) {
  if (isa.avx512) return layer_norm_row_avx512;
  if (isa.avx2) return layer_norm_row_avx2;
  return layer_norm_row_plain;
}

LayerNormRow row_of(const LayerNormArgs& args, int64_t row) {
  const int64_t token = row / args.heads, first = row % args.heads * args.size;
  return {.residual = args.residual + token * args.residual_stride + first,
          .delta =
              args.delta == nullptr ? nullptr : args.delta + token * args.delta_stride + first,
          .weight = args.weight + first,
          .bias = args.bias == nullptr ? nullptr : args.bias + first,
          .out = args.out + token * args.out_stride + first,
          .size = args.size,
          .eps = args.eps};
}

}  // namespace

void layer_norm_row_plain(const LayerNormRow& row) {
  const double size = static_cast<double>(row.size);
  double sum = 0, square = 0;
  for (int64_t i = 0; i < row.size; ++i) {
    if (row.delta != nullptr) row.residual[i] += row.delta[i];
    sum += row.residual[i];
  }
  const double mean = sum / size;
  for (int64_t i = 0; i < row.size; ++i) {
    square += (row.residual[i] - mean) * (row.residual[i] - mean);
  }
  const double scale = 1.0 / std::sqrt(square / size + row.eps);
  for (int64_t i = 0; i < row.size; ++i) {
    const double normed = (row.residual[i] - mean) * scale * row.weight[i];
    row.out[i] = static_cast<float>(row.bias == nullptr ? normed : normed + row.bias[i]);
  }
}

void layer_norm(CpuStream& stream, const LayerNormArgs& args) {
  const RowFn norm_row = row_fn(stream.isa());
  stream.pool().parallel_for(args.tokens * args.heads, row_grain(args.size),
                             [&](int64_t begin, int64_t end) {
                               for (int64_t r = begin; r < end; ++r) norm_row(row_of(args, r));
                             });
}

}  // namespace lmdeploy::cpu
