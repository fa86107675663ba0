// gated_activation on the CPU.
#pragma once

#include <cstdint>

#include "kernels/activation.h"

namespace lmdeploy {
class CpuStream;
struct CpuIsa;
}

namespace lmdeploy::cpu {

struct GatedActivationArgs {
  const float* gate = nullptr;  // rows gate_up_stride apart, as those of up
  const float* up = nullptr;
  float* out = nullptr;
  int64_t gate_up_stride = 0;
  int64_t out_stride = 0;
  int64_t rows = 0;
  int64_t size = 0;  // I
  Activation activation = Activation::kSilu;
};

void gated_activation(CpuStream& stream, const GatedActivationArgs& args);

// All rows on the calling thread.
void gated_activation_rows(const CpuIsa& isa, const GatedActivationArgs& args);

// Rows [begin, end).
void gated_activation_rows_plain(const GatedActivationArgs& args, int64_t begin, int64_t end);
void gated_activation_rows_avx2(const GatedActivationArgs& args, int64_t begin, int64_t end);
void gated_activation_rows_avx512(const GatedActivationArgs& args, int64_t begin, int64_t end);

}  // namespace lmdeploy::cpu
