// The kInterleaved layout: what pack_panel.cc writes and the CPU matmul kernels read.
//
// A panel is 16 output rows (the last one padded with zero rows) and holds, one region after the
// other, each 64-byte aligned:
//
//   block types, G = k / 32 groups; a *step* is 4 consecutive elements of all 16 rows, 64 bytes
//   [row][element], the operand order of vpdpbusd and of an AMX int8 tile; a group has 8 steps
//     codes      [G][4][64]  4 low bits: byte b of vector v is code b of step v | code b of step v + 4 << 4
//                [G][8][64]  8-bit formats: the codes themselves (q8_0: int8 + 128)
//     high       [G][64]     5-bit formats: bit s of byte b is bit 4 of code b of step s
//                [G][2][64]  6-bit formats: bits 2f, 2f + 1 of byte b of vector w are bits 4 and 5 of
//                            code b of step 4 w + f
//     scale      [G][16] f16; K formats [G][16] u8; q6_K [G][2][16] i8 (per 16 elements)
//     min        [G][16] f16 (added); K formats [G][16] u8
//     super      [G / 8][16] f16: d of the K formats and q6_K
//     super_min  [G / 8][16] f16: -dmin of the K formats
//
//   f32, f16     [k][16]
//   bf16         [K / 2][16][2], K = k rounded up to 32 with zeros: the operand order of vdpbf16ps
//                and of an AMX bf16 tile
//
// Bits per weight equal the file's, but for q4_K and q5_K (+0.125).
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy::cpu {

inline constexpr int kPanelRows = 16;
inline constexpr int kSuperGroups = 8;  // groups of 32 in a block of 256

// Byte offsets of the regions in a panel; an absent region has the offset of the next one.
struct PanelLayout {
  int64_t groups = 0;  // of 32; plain types: 0
  size_t high = 0;     // codes are at 0
  size_t scale = 0;
  size_t min = 0;
  size_t super = 0;
  size_t super_min = 0;
  size_t bytes = 0;    // from one panel to the next
};

// Files built for one instruction set use these in constant expressions alone: no copy of theirs is
// linked into another's code.
constexpr int code_bits(DType format) {
  switch (format) {
    case DType::kQ4_0: case DType::kQ4_1: case DType::kQ4_K: return 4;
    case DType::kQ5_0: case DType::kQ5_1: case DType::kQ5_K: return 5;
    case DType::kQ6_K: return 6;
    default: return 8;
  }
}

constexpr bool is_k_format(DType format) { return format == DType::kQ4_K || format == DType::kQ5_K; }

constexpr bool has_min(DType format) {
  return format == DType::kQ4_1 || format == DType::kQ5_1 || is_k_format(format);
}

PanelLayout panel_layout(DType format, int64_t k);

inline int64_t panel_count(int64_t rows) { return (rows + kPanelRows - 1) / kPanelRows; }

// Elements of k that a bf16 panel holds.
inline int64_t padded_bf16_k(int64_t k) { return (k + 31) / 32 * 32; }

}  // namespace lmdeploy::cpu
