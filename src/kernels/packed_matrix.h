// PackedMatrix: a Linear's weight in the layout that a device's matmul reads, made once at load. It
// replaces the file's pages.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/block_scales.h"
#include "tensor/tensor.h"
#include "tensor/weight_arena.h"

namespace lmdeploy {

enum class PackedLayout : uint8_t {
  kNone,
  kInterleaved,  // CPU panels of 16 output rows, K in groups (kernels/cpu/packed_layout.h)
  kRowMajor,     // CUDA: storage is [n, k] f32, f16 or bf16 on the device, one segment
};

// Consecutive output rows of one format; its panels begin at byte `offset` of the storage.
struct PackedSegment {
  int64_t row_begin = 0;
  int64_t rows = 0;
  DType format = DType::kF32;
  size_t offset = 0;
};

struct PackedMatrix {
  int64_t n = 0;  // output features (rows of the Hugging Face weight)
  int64_t k = 0;  // input features
  DType format = DType::kF32;  // of the first segment; of all of them in all but mixed GGUF files
  PackedLayout layout = PackedLayout::kNone;
  std::vector<PackedSegment> segments;  // cover [0, n) in order
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
  BlockScales scales = {};  // of kF8E4M3, which is packed as bf16 where it would stay as it is
};

// The concatenation of the sources along the rows (q, k and v; gate and up) as one packed matrix.
// All sources have one k; each keeps its own format (a segment), so nothing is rounded twice.
// `want` = kF32, kBF16 or kF16 converts plain and block types to it (--dtype); `want` = a block type
// leaves every source as it is (block types are multiplied by int8 activations). The layout is the
// same for every instruction set.
// The storage comes from `arena`, or is the matrix's own where that is nullptr.
PackedMatrix pack_matrix(std::span<const RowSource> sources, DType want, WeightArena* arena = nullptr);

// Bytes pack_matrix would allocate.
size_t packed_bytes(std::span<const RowSource> sources, DType want);

// The kRowMajor matrix whose rows are those of `storage` [n, k], f32, f16 or bf16.
PackedMatrix row_major_matrix(Tensor storage);

// Rows [first_row, first_row + rows) of the source, after its row_order, as consecutive `dtype`
// (f32, f16 or bf16) rows at `out`, host memory of rows * k elements: what is copied into the
// storage of a kRowMajor matrix. Rounds to nearest even; rows of the wanted type are copied as they
// are. Thread-safe for disjoint `out`.
void pack_rows(const RowSource& source, int64_t first_row, int64_t rows, DType dtype, void* out);

// Row `row` of a kInterleaved matrix as fp32 [k]: the embedding lookup of a tied table, and the
// truth in tests.
void unpack_row(const PackedMatrix& matrix, int64_t row, float* out);

}  // namespace lmdeploy
