#include "kernels/cpu/gated_activation.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/row_grain.h"
#include "tensor/stream.h"

namespace lmdeploy::cpu {

namespace {

double gated(Activation activation, double x, double up) {
  switch (activation) {
    case Activation::kSilu: return x / (1.0 + std::exp(-x)) * up;
    case Activation::kGelu: return 0.5 * x * std::erfc(-x / std::sqrt(2.0)) * up;
    case Activation::kGeluTanh: {
      // 0.5 x (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3), which is x sigmoid(2 u).
      const double u = std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x);
      return x / (1.0 + std::exp(-2.0 * u)) * up;
    }
    case Activation::kClampedSwiglu: {
      const double gate = std::min(x, double{kSwigluLimit});
      const double bounded = std::clamp(up, -double{kSwigluLimit}, double{kSwigluLimit});
      return gate / (1.0 + std::exp(-double{kSwigluSlope} * gate)) * (bounded + 1.0);
    }
  }
  return x;
}

using RowsFn = void (*)(const GatedActivationArgs&, int64_t, int64_t);

RowsFn rows_fn(const CpuIsa& isa) {
  if (isa.avx512) return gated_activation_rows_avx512;
  if (isa.avx2) return gated_activation_rows_avx2;
  return gated_activation_rows_plain;
}

}  // namespace

void gated_activation_rows_plain(const GatedActivationArgs& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* gate = args.gate + row * args.gate_up_stride;
    const float* up = args.up + row * args.gate_up_stride;
    float* out = args.out + row * args.out_stride;
    for (int64_t i = 0; i < args.size; ++i) {
      out[i] = static_cast<float>(gated(args.activation, gate[i], up[i]));
    }
  }
}

void gated_activation_rows(const CpuIsa& isa, const GatedActivationArgs& args) {
  rows_fn(isa)(args, 0, args.rows);
}

void gated_activation(CpuStream& stream, const GatedActivationArgs& args) {
  const RowsFn rows = rows_fn(stream.isa());
  stream.pool().parallel_for(args.rows, row_grain(2 * args.size),
                             [&](int64_t begin, int64_t end) { rows(args, begin, end); });
}

}  // namespace lmdeploy::cpu
