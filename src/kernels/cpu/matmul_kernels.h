// What the instruction-set files offer to matmul.cc: products of panels (packed_layout.h) with rows.
//
// Every kernel of a weight type computes a result in one order that depends on k alone, so a row's
// result is the same bits for any number of rows, of threads, and for decode and batch kernels:
//   block types   acc = 0; for g: acc = fma(fl(dot * w_scale), x_scale, acc)        (q6_K: twice)
//                          and with mins acc = fma(w_min, x_sum, acc)
//                 dot is an exact integer: all instruction sets give the same bits
//   f32, f16, bf16  two chains of fma, over even and over odd k, added at the end
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/packed_layout.h"
#include "kernels/cpu/quantize_rows.h"

namespace lmdeploy {
struct CpuIsa;  // not included: its header's inline functions must not be built for AVX
}

namespace lmdeploy::cpu {

// Consecutive weight rows of one format.
struct PanelMatrix {
  DType format = DType::kF32;
  int64_t rows = 0;
  int64_t k = 0;
  PanelLayout layout;
  const std::byte* panels = nullptr;
};

// Where column 0 of a PanelMatrix's product goes. bias may be null.
struct MatmulOutput {
  float* data = nullptr;
  int64_t stride = 0;
  const float* bias = nullptr;
  bool add = false;  // out += result
};

// Unquantized activations.
struct PlainRows {
  int64_t rows = 0;
  const float* data = nullptr;
  int64_t stride = 0;
};

// Panels [begin, end) times all rows of x.
using Int8Panels = void (*)(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out,
                            int64_t begin, int64_t end);
using PlainPanels = void (*)(const PanelMatrix& w, const PlainRows& x, const MatmulOutput& out,
                             int64_t begin, int64_t end);

struct MatmulKernels {
  QuantizeRows quantize;
  Int8Panels int8;
  PlainPanels plain;
};

MatmulKernels matmul_kernels(const CpuIsa& isa);

void int8_panels_scalar(const PanelMatrix&, const QuantizedRows&, const MatmulOutput&, int64_t, int64_t);
void int8_panels_avx2(const PanelMatrix&, const QuantizedRows&, const MatmulOutput&, int64_t, int64_t);
void int8_panels_avxvnni(const PanelMatrix&, const QuantizedRows&, const MatmulOutput&, int64_t, int64_t);
void int8_panels_avx512(const PanelMatrix&, const QuantizedRows&, const MatmulOutput&, int64_t, int64_t);
void int8_panels_avx512vnni(const PanelMatrix&, const QuantizedRows&, const MatmulOutput&, int64_t, int64_t);
void int8_panels_amx(const PanelMatrix&, const QuantizedRows&, const MatmulOutput&, int64_t, int64_t);
void plain_panels_scalar(const PanelMatrix&, const PlainRows&, const MatmulOutput&, int64_t, int64_t);
void plain_panels_avx2(const PanelMatrix&, const PlainRows&, const MatmulOutput&, int64_t, int64_t);
void plain_panels_avx512(const PanelMatrix&, const PlainRows&, const MatmulOutput&, int64_t, int64_t);

}  // namespace lmdeploy::cpu
