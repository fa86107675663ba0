// layer_norm_row, written once over V = F32Vec of AVX2 or AVX-512.
#pragma once

#include "kernels/cpu/layer_norm.h"
#include "kernels/cpu/row_vectors.h"

namespace lmdeploy::cpu {

template <class V>
inline void layer_norm_row(const LayerNormRow& row) {
  RowSum<V> sum;
  for_vectors<V>(row.size, [&](int64_t i, int count, int slot) {
    V v = V::load(row.residual + i, count);
    if (row.delta != nullptr) {
      v = v + V::load(row.delta + i, count);
      v.store(row.residual + i, count);
    }
    sum.s[slot] = sum.s[slot] + v;
  });
  const V mean = V::all(sum.mean(row.size));
  RowSum<V> square;
  for_vectors<V>(row.size, [&](int64_t i, int count, int slot) {
    // Through memory: lanes beyond the row come back as 0.
    (V::load(row.residual + i, count) - mean).store(row.out + i, count);
    const V centred = V::load(row.out + i, count);
    square.s[slot] = fma(centred, centred, square.s[slot]);
  });
  const V scale = V::all(1.0f / __builtin_sqrtf(square.mean(row.size) + row.eps));
  for_vectors<V>(row.size, [&](int64_t i, int count, int) {
    V normed = V::load(row.out + i, count) * scale * V::load(row.weight + i, count);
    if (row.bias != nullptr) normed = normed + V::load(row.bias + i, count);
    normed.store(row.out + i, count);
  });
}

}  // namespace lmdeploy::cpu
