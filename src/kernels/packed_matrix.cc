#include "kernels/packed_matrix.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/dequant.h"
#include "kernels/cpu/pack_panel.h"
#include "kernels/cpu/packed_layout.h"

namespace lmdeploy {

namespace {

DType packed_format(const RowSource& source, DType want) {
  return is_block_quantized(want) ? source.format : want;
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

void pack_source(const RowSource& source, int64_t row_begin, PackedMatrix& matrix) {
  const PackedSegment& segment = segment_of(matrix, row_begin);
  const cpu::PanelLayout layout = cpu::panel_layout(segment.format, matrix.k);
  const bool as_stored = is_block_quantized(segment.format);
  std::vector<float> values(as_stored ? 0 : static_cast<size_t>(source.k));
  for (int64_t r = 0; r < source.rows; ++r) {
    const int64_t from = source.row_order.empty() ? r : source.row_order[static_cast<size_t>(r)];
    const std::byte* data = source.data + static_cast<size_t>(from) * source.row_bytes;
    const int64_t row = row_begin + r;
    const int lane = static_cast<int>((row - segment.row_begin) % cpu::kPanelRows);
    std::byte* panel = panel_of(matrix, segment, layout.bytes, row);
    if (as_stored) {
      cpu::pack_block_row(segment.format, layout, data, lane, panel);
    } else {
      cpu::dequantize_row(source.format, data, source.k, values.data());
      cpu::pack_plain_row(segment.format, source.k, values.data(), lane, panel);
    }
  }
}

}  // namespace

size_t packed_bytes(std::span<const RowSource> sources, DType want, const CpuIsa&) {
  size_t bytes = 0;
  plan_segments(sources, want, bytes);
  return bytes;
}

PackedMatrix pack_matrix(std::span<const RowSource> sources, DType want, const CpuIsa&,
                         WeightArena* arena) {
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

void unpack_row(const PackedMatrix& matrix, int64_t row, float* out) {
  CHECK(row >= 0 && row < matrix.n, "row {} of {}", row, matrix.n);
  const PackedSegment& segment = segment_of(matrix, row);
  const cpu::PanelLayout layout = cpu::panel_layout(segment.format, matrix.k);
  const int lane = static_cast<int>((row - segment.row_begin) % cpu::kPanelRows);
  cpu::unpack_panel_row(segment.format, layout, matrix.k, panel_of(matrix, segment, layout.bytes, row),
                        lane, out);
}

}  // namespace lmdeploy
