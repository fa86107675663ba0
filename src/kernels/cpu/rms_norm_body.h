// rms_norm_rows, written once over V = F32Vec of AVX2 or AVX-512.
#pragma once

#include "kernels/cpu/rms_norm.h"

namespace lmdeploy::cpu {

// 1 / sqrt(sum / size + eps) in four interleaved sums; the order depends on `size` alone.
template <class V>
struct SquareSum {
  V s[4] = {V::zero(), V::zero(), V::zero(), V::zero()};

  float inverse_rms(int64_t size, float eps) const {
    const float mean = ((s[0] + s[1]) + (s[2] + s[3])).sum() / static_cast<float>(size);
    return 1.0f / __builtin_sqrtf(mean + eps);
  }
};

// Calls fn(i, count, slot) for each vector of a row; slot cycles 0..3.
template <class V, class Fn>
inline void for_vectors(int64_t size, Fn&& fn) {
  constexpr int64_t kLanes = V::kLanes;
  int64_t i = 0;
  for (; i + 4 * kLanes <= size; i += 4 * kLanes) {
    fn(i, V::kLanes, 0);
    fn(i + kLanes, V::kLanes, 1);
    fn(i + 2 * kLanes, V::kLanes, 2);
    fn(i + 3 * kLanes, V::kLanes, 3);
  }
  for (; i < size; i += kLanes) {
    fn(i, static_cast<int>(size - i < kLanes ? size - i : kLanes), 0);
  }
}

template <class V>
inline float inverse_rms(const float* x, int64_t size, float eps) {
  SquareSum<V> sum;
  for_vectors<V>(size, [&](int64_t i, int count, int slot) {
    const V v = V::load(x + i, count);
    sum.s[slot] = fma(v, v, sum.s[slot]);
  });
  return sum.inverse_rms(size, eps);
}

template <class V>
inline void rms_norm_row(const RmsNormArgs& args, int64_t row) {
  float* residual = args.residual + row * args.residual_stride;
  const float* delta = args.delta == nullptr ? nullptr : args.delta + row * args.delta_stride;
  SquareSum<V> sum;
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
  const V scale = V::all(sum.inverse_rms(args.size, args.eps));
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
