// rope_cos_sin on the CPU.
#pragma once

#include <cstdint>

namespace lmdeploy {
class CpuStream;
}

namespace lmdeploy::cpu {

struct RopeCosSinArgs {
  const int32_t* positions = nullptr;  // [rows]
  const float* inv_freq = nullptr;     // [F, half], rows inv_freq_stride apart
  const int32_t* freq_row = nullptr;   // [rows], or nullptr: row 0
  float* cos_sin = nullptr;            // [rows, 2 * half], rows cos_sin_stride apart
  int64_t inv_freq_stride = 0;
  int64_t cos_sin_stride = 0;
  int64_t rows = 0;
  int64_t half = 0;
  float attention_scale = 1;
};

void rope_cos_sin(CpuStream& stream, const RopeCosSinArgs& args);

// Rows [begin, end).
void rope_cos_sin_rows_plain(const RopeCosSinArgs& args, int64_t begin, int64_t end);
void rope_cos_sin_rows_avx2(const RopeCosSinArgs& args, int64_t begin, int64_t end);
void rope_cos_sin_rows_avx512(const RopeCosSinArgs& args, int64_t begin, int64_t end);

}  // namespace lmdeploy::cpu
