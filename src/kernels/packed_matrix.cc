#include "kernels/packed_matrix.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/cpu/dequant.h"
#include "kernels/cpu/pack_panel.h"
#include "kernels/cpu/packed_layout.h"

namespace lmdeploy {

namespace {

DType packed_format(const RowSource& source, DType want) {
  if (!is_block_quantized(want)) return want;
  return source.format == DType::kF8E4M3 ? DType::kBF16 : source.format;
}

// Adjacent sources of one format share a segment.
std::vector<PackedSegment> plan_segments(std::span<const RowSource> sources, DType want, size_t& bytes) {
  std::vector<PackedSegment> segments;
  int64_t row = 0;
  for (const RowSource& source : sources) {
    CHECK(source.k == sources[0].k, "k of the fused weights is {} and {}", source.k, sources[0].k);
    const DType format = packed_format(source, want);
    if (segments.empty() || segments.back().format != format) segments.push_back({row, 0, format, 0});
    segments.back().rows += source.rows;
    row += source.rows;
  }
  bytes = 0;
  for (PackedSegment& segment : segments) {
    segment.offset = bytes;
    bytes += static_cast<size_t>(cpu::panel_count(segment.rows)) *
             cpu::panel_layout(segment.format, sources[0].k).bytes;
  }
  return segments;
}

const PackedSegment& segment_of(const PackedMatrix& matrix, int64_t row) {
  for (const PackedSegment& segment : matrix.segments) {
    if (row < segment.row_begin + segment.rows) return segment;
  }
  CHECK(false, "row {} of {}", row, matrix.n);
}

std::byte* panel_of(const PackedMatrix& matrix, const PackedSegment& segment, size_t panel_bytes,
                    int64_t row) {
  const auto panel = static_cast<size_t>((row - segment.row_begin) / cpu::kPanelRows);
  return matrix.storage.data<std::byte>() + segment.offset + panel * panel_bytes;
}

int64_t stored_row(const RowSource& source, int64_t row) {
  return source.row_order.empty() ? row : source.row_order[static_cast<size_t>(row)];
}

const std::byte* source_row(const RowSource& source, int64_t row) {
  return source.data + static_cast<size_t>(stored_row(source, row)) * source.row_bytes;
}

void read_row(const RowSource& source, int64_t row, float* out) {
  const std::byte* data = source_row(source, row);
  if (source.format == DType::kF8E4M3) {
    dequantize_fp8_row(data, stored_row(source, row), source.k, source.scales, out);
  } else {
    cpu::dequantize_row(source.format, data, source.k, out);
  }
}

void pack_source(const RowSource& source, int64_t row_begin, PackedMatrix& matrix) {
  const PackedSegment& segment = segment_of(matrix, row_begin);
  const cpu::PanelLayout layout = cpu::panel_layout(segment.format, matrix.k);
  const bool as_stored = is_block_quantized(segment.format);
  std::vector<float> values(as_stored ? 0 : static_cast<size_t>(source.k));
  for (int64_t r = 0; r < source.rows; ++r) {
    const int64_t row = row_begin + r;
    const int lane = static_cast<int>((row - segment.row_begin) % cpu::kPanelRows);
    std::byte* panel = panel_of(matrix, segment, layout.bytes, row);
    if (as_stored) {
      cpu::pack_block_row(segment.format, layout, source_row(source, r), lane, panel);
    } else {
      read_row(source, r, values.data());
      cpu::pack_plain_row(segment.format, source.k, values.data(), lane, panel);
    }
  }
}

void convert_row(const float* values, int64_t k, f16* out) {
  std::transform(values, values + k, out, [](float x) { return to_f16(x); });
}
void convert_row(const float* values, int64_t k, bf16* out) {
  std::transform(values, values + k, out, [](float x) { return to_bf16(x); });
}

}  // namespace

size_t packed_bytes(std::span<const RowSource> sources, DType want) {
  size_t bytes = 0;
  plan_segments(sources, want, bytes);
  return bytes;
}

PackedMatrix pack_matrix(std::span<const RowSource> sources, DType want, WeightArena* arena) {
  CHECK(!sources.empty(), "no weight to pack");
  PackedMatrix matrix;
  matrix.k = sources[0].k;
  matrix.format = packed_format(sources[0], want);
  matrix.layout = PackedLayout::kInterleaved;
  size_t bytes = 0;
  matrix.segments = plan_segments(sources, want, bytes);
  const Shape shape{static_cast<int64_t>(bytes)};
  matrix.storage = arena != nullptr ? arena->allocate(shape, DType::kU8) : Tensor(shape, DType::kU8);
  for (const RowSource& source : sources) matrix.n += source.rows;
  int64_t row = 0;
  for (const RowSource& source : sources) {
    pack_source(source, row, matrix);
    row += source.rows;
  }
  return matrix;
}

PackedMatrix row_major_matrix(Tensor storage) {
  const DType format = storage.dtype();
  CHECK(is_float(format) && storage.shape().rank() == 2,
        "a row-major weight is {} {}; expected f32, f16 or bf16 [n, k]", dtype_name(format),
        storage.shape().to_string());
  PackedMatrix matrix{.n = storage.shape()[0],
                      .k = storage.shape()[1],
                      .format = format,
                      .layout = PackedLayout::kRowMajor,
                      .segments = {{0, storage.shape()[0], format, 0}},
                      .storage = std::move(storage)};
  return matrix;
}

void pack_rows(const RowSource& source, int64_t first_row, int64_t rows, DType dtype, void* out) {
  CHECK(first_row >= 0 && rows >= 0 && first_row + rows <= source.rows, "rows [{}, {}) of {}",
        first_row, first_row + rows, source.rows);
  const auto bytes = static_cast<size_t>(dtype_bytes(dtype, source.k));
  auto* to = static_cast<std::byte*>(out);
  if (source.format == dtype && source.row_order.empty() && source.row_bytes == bytes) {
    std::memcpy(to, source_row(source, first_row), bytes * static_cast<size_t>(rows));
    return;
  }
  std::vector<float> values(static_cast<size_t>(source.k));
  for (int64_t r = 0; r < rows; ++r, to += bytes) {
    if (source.format == dtype) {
      std::memcpy(to, source_row(source, first_row + r), bytes);
      continue;
    }
    read_row(source, first_row + r, values.data());
    switch (dtype) {
      case DType::kF32: std::memcpy(to, values.data(), bytes); break;
      case DType::kF16: convert_row(values.data(), source.k, reinterpret_cast<f16*>(to)); break;
      case DType::kBF16: convert_row(values.data(), source.k, reinterpret_cast<bf16*>(to)); break;
      default: CHECK(false, "row-major weights of type {}", dtype_name(dtype));
    }
  }
}

void unpack_row(const PackedMatrix& matrix, int64_t row, float* out) {
  CHECK(matrix.layout == PackedLayout::kInterleaved, "the weight is not packed for the CPU");
  CHECK(row >= 0 && row < matrix.n, "row {} of {}", row, matrix.n);
  const PackedSegment& segment = segment_of(matrix, row);
  const cpu::PanelLayout layout = cpu::panel_layout(segment.format, matrix.k);
  const int lane = static_cast<int>((row - segment.row_begin) % cpu::kPanelRows);
  cpu::unpack_panel_row(segment.format, layout, matrix.k, panel_of(matrix, segment, layout.bytes, row),
                        lane, out);
}

}  // namespace lmdeploy
