// PackedMatrix: a Linear's weight in the layout that a device's matmul reads, made once at load. It
// replaces the file's pages.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/tensor.h"
#include "tensor/cpu/isa.h"

namespace lmdeploy {

enum class PackedLayout : uint8_t {
  kNone,
  kRowMajor,     // [N, K] in `format`, as stored: plain matmul, small or odd shapes
  kInterleaved,  // CPU panels of 16 output rows, K in groups (kernels/cpu/packed_layout.h)
};

struct PackedMatrix {
  int64_t n = 0;  // output features (rows of the Hugging Face weight)
  int64_t k = 0;  // input features
  DType format = DType::kF32;  // element or block type that the weight keeps
  PackedLayout layout = PackedLayout::kNone;
  Tensor storage;
};

// `rows` rows of `k` elements of dtype `format` at `data`, `row_bytes` apart (a mapped file, possibly
// unaligned).
struct RowSource {
  DType format;
  int64_t rows;
  int64_t k;
  const std::byte* data;
  size_t row_bytes;
  // Row r of the result is row_order[r] of the source; empty: identity. Lets q/k rows that a GGUF
  // stores interleaved be put back.
  std::span<const int32_t> row_order;
};

// The concatenation of the sources along the rows (q, k and v; gate and up) as one packed matrix.
// All sources have one k; their formats may differ: then all become the widest that holds each
// exactly enough (see packed_matrix.cc). `want` = kF32, kBF16 or kF16 converts plain and block types
// to it (--dtype); a block type keeps itself, with int8 activations. `isa`: what the layout is for.
PackedMatrix pack_matrix(std::span<const RowSource> sources, DType want, const CpuIsa& isa);

// Bytes pack_matrix would allocate.
size_t packed_bytes(std::span<const RowSource> sources, DType want, const CpuIsa& isa);

// Row `row` as fp32 [k]: the embedding lookup of a tied table, and the truth in tests.
void unpack_row(const PackedMatrix& matrix, int64_t row, float* out);

}  // namespace lmdeploy
