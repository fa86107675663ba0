// What the instruction-set files offer to matmul.cc: products of panels (packed_layout.h) with rows.
//
// Every kernel of a weight type computes a result in one order that depends on k alone, so a row's
// result is the same bits for any number of rows, of threads, and for decode and batch kernels:
//   block types   acc = 0; for g: acc = fma(fl(dot * w_scale), x_scale, acc)        (q6_K: twice)
//                          and with mins acc = fma(w_min, x_sum, acc)
//                 dot is an exact integer: all instruction sets give the same bits
//   f32, f16      for each 32 k two chains of fma, over even and over odd k; their sums in order
//   bf16          x rounded to bf16; the instruction set's own order: with AVX-512 BF16 two chains of
//                 vdpbf16ps, with AMX one of tdpbf16ps that begins with what is added, else as f32
// But for MatmulKernels::rounds_blocks_from: many rows times block types as bf16.
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

// The most steps of 32 elements in a slab of Bf16Rows.
inline constexpr int64_t kBf16SlabSteps = 18;

// Activations as bf16, for the bf16 products, 0 from k on. Steps lie in slabs of slab_steps (the last
// may have fewer), so that a slab of all rows is one piece of memory; a slab's rows lie in blocks of
// kRowBlock (the last may have fewer), and a block of R rows has its steps as [R][32] (bf16_step in
// matmul_tile.h).
struct Bf16Rows {
  int64_t rows = 0;
  int64_t steps = 0;
  int64_t slab_steps = 0;  // at most kBf16SlabSteps
  uint16_t* data = nullptr;
};

// Rows [begin, end) of x, k floats each, `stride` apart, as the steps of `out` from first_step on; begin
// and end as QuantizeRows has them.
using RoundRows = void (*)(const float* x, int64_t k, int64_t stride, int64_t begin, int64_t end,
                           const Bf16Rows& out, int64_t first_step);

// Panels [begin, end) times all rows of x.
using Int8Panels = void (*)(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out,
                            int64_t begin, int64_t end);
using PlainPanels = void (*)(const PanelMatrix& w, const PlainRows& x, const MatmulOutput& out,
                             int64_t begin, int64_t end);

using Bf16Panels = void (*)(const PanelMatrix& w, const Bf16Rows& x, const MatmulOutput& out,
                            int64_t begin, int64_t end);

struct MatmulKernels {
  QuantizeRows quantize;
  Int8Panels int8;
  PlainPanels plain;
  RoundRows round = nullptr;   // with `bf16`; without, bf16 weights go to `plain`
  Bf16Panels bf16 = nullptr;
  // Rows from which `bf16` is also the faster one for block types, whose weights it rounds to bf16.
  // Results then depend on the number of rows. 0: it takes no block types.
  int64_t rounds_blocks_from = 0;
};

MatmulKernels matmul_kernels(const CpuIsa& isa);

void int8_panels_scalar(const PanelMatrix&, const QuantizedRows&, const MatmulOutput&, int64_t, int64_t);
void int8_panels_avx2(const PanelMatrix&, const QuantizedRows&, const MatmulOutput&, int64_t, int64_t);
void int8_panels_avxvnni(const PanelMatrix&, const QuantizedRows&, const MatmulOutput&, int64_t, int64_t);
void int8_panels_avx512(const PanelMatrix&, const QuantizedRows&, const MatmulOutput&, int64_t, int64_t);
void int8_panels_avx512vnni(const PanelMatrix&, const QuantizedRows&, const MatmulOutput&, int64_t, int64_t);
void plain_panels_scalar(const PanelMatrix&, const PlainRows&, const MatmulOutput&, int64_t, int64_t);
void plain_panels_avx2(const PanelMatrix&, const PlainRows&, const MatmulOutput&, int64_t, int64_t);
void plain_panels_avx512(const PanelMatrix&, const PlainRows&, const MatmulOutput&, int64_t, int64_t);
void round_rows_avx512bf16(const float*, int64_t, int64_t, int64_t, int64_t, const Bf16Rows&, int64_t);
void bf16_panels_avx512bf16(const PanelMatrix&, const Bf16Rows&, const MatmulOutput&, int64_t, int64_t);
void bf16_panels_amx(const PanelMatrix&, const Bf16Rows&, const MatmulOutput&, int64_t, int64_t);

}  // namespace lmdeploy::cpu
