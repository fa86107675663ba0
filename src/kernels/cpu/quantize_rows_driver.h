// The loop over groups of quantize_rows, for what each instruction set quantizes at once.
// Included by the quantize_rows*.cc files alone, inside an unnamed namespace.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/cpu/quantize_rows.h"

namespace lmdeploy::cpu {
namespace {

// Groups that are quantized at once.
template <int N>
struct QuantizedGroups {
  float scale[N];
  int32_t half_sum[2][N];  // of the codes of elements 0-15 and 16-31
};

// Of the groups [first, first + count) of a block, counted as QuantizedRows lays them out. The
// block begins at group `block` of its rows.
template <int N>
void store_groups(const QuantizedRows& out, int64_t block, int64_t rows, int64_t first, int count,
                  const QuantizedGroups<N>& groups) {
  constexpr int32_t kZero[kZeroSlots] = {8, 16, 32, 128};
  const int64_t at = block + first;
  for (int j = 0; j < count; ++j) {
    out.scale[at + j] = groups.scale[j];
    out.sum[at + j] =
        groups.scale[j] * static_cast<float>(groups.half_sum[0][j] + groups.half_sum[1][j]);
  }
  for (int slot = 0; slot < kZeroSlots; ++slot) {
    if (out.start[slot] == nullptr) continue;
    for (int j = 0; j < count; ++j) {
      const int32_t first_half = groups.half_sum[0][j], second_half = groups.half_sum[1][j];
      if (slot == zero_slot(DType::kQ6_K)) {
        const int64_t g = (first + j) / rows, row = (first + j) % rows;
        int32_t* start = out.start[slot] + 2 * (block + g * rows) + row;
        start[0] = kDotBias - kZero[slot] * first_half;
        start[rows] = kDotBias - kZero[slot] * second_half;
      } else {
        out.start[slot][at + j] = kDotBias - kZero[slot] * (first_half + second_half);
      }
    }
  }
}

// quantize(const float* const (&from)[N], int8_t* codes [N][32], QuantizedGroups<N>&).
template <int N, class Quantize>
void quantize_blocks(const float* x, int64_t stride, int64_t begin, int64_t end,
                     const QuantizedRows& out, Quantize quantize) {
  for (int64_t block = begin; block < end; block += kRowBlock) {
    const int64_t rows = end - block < kRowBlock ? end - block : kRowBlock;
    const int64_t at = block * out.groups, count = rows * out.groups;
    const float* group = x + block * stride;  // of its first row
    int64_t row = 0;
    for (int64_t i = 0; i < count; i += N) {
      const int left = count - i < N ? static_cast<int>(count - i) : N;
      const float* from[N];
      for (int j = 0; j < N; ++j) {
        from[j] = group + row * stride;
        if (j < left - 1 || left == N) ++row;  // the last group stands for those behind it
        if (row == rows) row = 0, group += 32;
      }
      QuantizedGroups<N> groups;
      alignas(64) int8_t some[N * 32];
      int8_t* codes = out.codes + (at + i) * 32;
      quantize(from, left == N ? codes : some, groups);
      if (left < N) std::memcpy(codes, some, static_cast<size_t>(left) * 32);
      store_groups(out, at, rows, i, left, groups);
    }
  }
}

}  // namespace
}  // namespace lmdeploy::cpu
