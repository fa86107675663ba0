// The three norms of kernels/rms_norm.h on the CPU: one row loop with optional parts.
#pragma once

#include <cstdint>

namespace lmdeploy {
class CpuStream;
}

namespace lmdeploy::cpu {

// Row r: if delta: residual[r] += post_weight ? norm(delta[r]) * post_weight : delta[r];
// out[r] = norm(residual[r]) * weight. Strides in elements. out may be residual or delta.
struct RmsNormArgs {
  float* residual = nullptr;
  const float* delta = nullptr;
  const float* post_weight = nullptr;
  const float* weight = nullptr;
  float* out = nullptr;
  int64_t residual_stride = 0;
  int64_t delta_stride = 0;
  int64_t out_stride = 0;
  int64_t rows = 0;
  int64_t size = 0;
  float eps = 0;
};

void rms_norm(CpuStream& stream, const RmsNormArgs& args);

// Rows [begin, end).
void rms_norm_rows_plain(const RmsNormArgs& args, int64_t begin, int64_t end);
void rms_norm_rows_avx2(const RmsNormArgs& args, int64_t begin, int64_t end);
void rms_norm_rows_avx512(const RmsNormArgs& args, int64_t begin, int64_t end);

}  // namespace lmdeploy::cpu
