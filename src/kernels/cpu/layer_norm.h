// The norms of kernels/layer_norm.h on the CPU: one row function with optional parts.
#pragma once

#include <cstdint>

namespace lmdeploy {
class CpuStream;
}

namespace lmdeploy::cpu {

// Head h of token t: if delta: residual[t] += delta[t]; out[t] = norm(residual[t]) * weight + bias,
// of `size` elements from h * size on. Strides in elements. out may be residual or delta.
struct LayerNormArgs {
  float* residual = nullptr;
  const float* delta = nullptr;   // or nullptr
  const float* weight = nullptr;  // [heads * size]
  const float* bias = nullptr;    // [heads * size] or nullptr
  float* out = nullptr;
  int64_t residual_stride = 0;
  int64_t delta_stride = 0;
  int64_t out_stride = 0;
  int64_t tokens = 0;
  int64_t heads = 1;
  int64_t size = 0;  // of a head
  float eps = 0;
};

void layer_norm(CpuStream& stream, const LayerNormArgs& args);

// One head of one token: `size` elements each.
struct LayerNormRow {
  float* residual;
  const float* delta;  // or nullptr
  const float* weight;
  const float* bias;  // or nullptr
  float* out;
  int64_t size;
  float eps;
};

void layer_norm_row_plain(const LayerNormRow& row);
void layer_norm_row_avx2(const LayerNormRow& row);
void layer_norm_row_avx512(const LayerNormRow& row);

}  // namespace lmdeploy::cpu
