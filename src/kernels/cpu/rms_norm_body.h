// rms_norm_rows, written once over V = F32Vec of AVX2 or AVX-512.
#pragma once

#include "kernels/cpu/rms_norm.h"
#include "kernels/cpu/row_vectors.h"

namespace lmdeploy::cpu {

template <class V>
inline float inverse_root(const RowSum<V>& squares, int64_t size, float eps) {
  return 1.0f / __builtin_sqrtf(squares.mean(size) + eps);
}

template <class V>
inline float inverse_rms(const float* x, int64_t size, float eps) {
  RowSum<V> sum;
  for_vectors<V>(size, [&](int64_t i, int count, int slot) {
    const V v = V::load(x + i, count);
    sum.s[slot] = fma(v, v, sum.s[slot]);
  });
  return inverse_root(sum, size, eps);
}

template <class V>
inline void rms_norm_row(const RmsNormArgs& args, int64_t row) {
  float* residual = args.residual + row * args.residual_stride;
  const float* delta = args.delta == nullptr ? nullptr : args.delta + row * args.delta_stride;
  RowSum<V> sum;
  const V post =
      args.post_weight == nullptr ? V::zero() : V::all(inverse_rms<V>(delta, args.size, args.eps));
  for_vectors<V>(args.size, [&](int64_t i, int count, int slot) {
    V v = V::load(residual + i, count);
    if (delta != nullptr) {
      const V d = V::load(delta + i, count);
      v = args.post_weight == nullptr ? v + d
                                      : fma(d * post, V::load(args.post_weight + i, count), v);
      v.store(residual + i, count);
    }
    sum.s[slot] = fma(v, v, sum.s[slot]);
  });
  const V scale = V::all(inverse_root(sum, args.size, args.eps));
  float* out = args.out + row * args.out_stride;
  for_vectors<V>(args.size, [&](int64_t i, int count, int) {
    (V::load(residual + i, count) * scale * V::load(args.weight + i, count)).store(out + i, count);
  });
}

template <class V>
inline void rms_norm_rows(const RmsNormArgs& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) rms_norm_row<V>(args, row);
}

}  // namespace lmdeploy::cpu
