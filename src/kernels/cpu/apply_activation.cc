#include "kernels/cpu/apply_activation.h"

#include "kernels/cpu/gated_activation.h"
#include "kernels/cpu/row_grain.h"
#include "tensor/stream.h"

namespace lmdeploy::cpu {

namespace {

using ActivateFn = void (*)(float*, int64_t, Activation);

ActivateFn activate_fn(const CpuIsa& isa) {
  if (isa.avx512) return activate_avx512;
  if (isa.avx2) return activate_avx2;
  return activate_plain;
}

}  // namespace

// The gated one beside a factor of one, element by element.
void activate_plain(float* x, int64_t count, Activation activation) {
  const float one = 1.0f;
  for (int64_t i = 0; i < count; ++i) {
    gated_activation_rows_plain(
        {.gate = x + i, .up = &one, .out = x + i, .rows = 1, .size = 1, .activation = activation},
        0, 1);
  }
}

void apply_activation(CpuStream& stream, float* x, int64_t stride, int64_t rows, int64_t size,
                      Activation activation) {
  const ActivateFn activate = activate_fn(stream.isa());
  stream.pool().parallel_for(rows, row_grain(size), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) activate(x + row * stride, size, activation);
  });
}

}  // namespace lmdeploy::cpu
