#include "kernels/matmul.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/dequant.h"
#include "kernels/cpu/matmul_kernels.h"
#include "kernels/cuda/matmul.h"
#include "kernels/op_checks.h"

namespace lmdeploy {

namespace {

// Rows x k below which one thread converts the activations before the others start: a fork-join
// costs about as much.
constexpr int64_t kSerialElements = 16 << 10;

void check_views(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
                 const TensorView& out) {
  const PackedLayout layout = ctx.on_cpu() ? PackedLayout::kInterleaved : PackedLayout::kRowMajor;
  CHECK(w.layout == layout, "matmul: the weight is not packed for the device of the stream");
  const DType dtype = ctx.on_cpu() ? DType::kF32 : w.format;
  const bool f32_out = ctx.on_cpu() || out.dtype() == DType::kF32;
  check_view(ctx, "matmul", "x", x, dtype, {kAnySize, w.k});
  check_view(ctx, "matmul", "out", out, f32_out ? DType::kF32 : dtype, {x.dim(0), w.n});
  check_optional_view(ctx, "matmul", "bias", bias, DType::kF32, {w.n});
}

// fn(begin, end) over blocks of rows, in parallel when that pays.
template <class F>
void for_row_blocks(ThreadPool& pool, int64_t rows, int64_t k, F fn) {
  if (rows * k <= kSerialElements) return fn(int64_t{0}, rows);
  pool.parallel_for(rows, cpu::kRowBlock, fn);
}

bool has_block_segment(const PackedMatrix& w) {
  return std::any_of(w.segments.begin(), w.segments.end(),
                     [](const PackedSegment& s) { return is_block_quantized(s.format); });
}

cpu::QuantizedRows quantize(Ctx& ctx, const cpu::MatmulKernels& kernels, const TensorView& x,
                            const PackedMatrix& w) {
  cpu::QuantizedRows rows{x.dim(0), w.k / cpu::kGroup};
  // AMX tiles read whole blocks: what lies behind the last rows only has to be readable.
  const int64_t count = rows.rows * rows.groups + cpu::kRowBlock;
  rows.codes = ctx.scratch.allocate<int8_t>(count * cpu::kGroup);
  rows.scale = ctx.scratch.allocate<float>(count);
  rows.sum = ctx.scratch.allocate<float>(count);
  for (const PackedSegment& segment : w.segments) {
    const int slot = cpu::zero_slot(segment.format);
    if (slot < 0 || rows.start[slot] != nullptr) continue;
    rows.start[slot] = ctx.scratch.allocate<int32_t>(segment.format == DType::kQ6_K ? 2 * count : count);
  }
  for_row_blocks(cpu_stream(ctx).pool(), rows.rows, w.k, [&](int64_t begin, int64_t end) {
    kernels.quantize(x.data<float>(), x.row_stride(), begin, end, rows);
  });
  return rows;
}

bool has_segment(const PackedMatrix& w, DType format) {
  return std::any_of(w.segments.begin(), w.segments.end(),
                     [format](const PackedSegment& s) { return s.format == format; });
}

// The operands of bf16 weights: rows of bf16 where the instruction set multiplies them, else fp32 of
// the same values.
struct RoundedRows {
  cpu::Bf16Rows bf16;
  cpu::PlainRows plain;
};

RoundedRows round_rows(Ctx& ctx, const cpu::MatmulKernels& kernels, const TensorView& x) {
  const int64_t rows = x.dim(0), k = x.dim(1);
  RoundedRows rounded{{rows, cpu::padded_bf16_k(k) / 32}, {rows, nullptr, k}};
  ThreadPool& pool = cpu_stream(ctx).pool();
  if (kernels.round != nullptr) {
    // Tiles read whole blocks, as those of `quantize` do.
    const int64_t count = rows * rounded.bf16.steps + cpu::kRowBlock;
    rounded.bf16.data = ctx.scratch.allocate<uint16_t>(count * 32);
    for_row_blocks(pool, rows, k, [&](int64_t begin, int64_t end) {
      kernels.round(x.data<float>(), k, x.row_stride(), begin, end, rounded.bf16);
    });
    return rounded;
  }
  float* values = ctx.scratch.allocate<float>(rows * k);
  rounded.plain.data = values;
  for_row_blocks(pool, rows, k, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* from = x.row<float>(row);
      for (int64_t i = 0; i < k; ++i) values[row * k + i] = to_float(to_bf16(from[i]));
    }
  });
  return rounded;
}

cpu::PanelMatrix panel_matrix(const PackedMatrix& w, const PackedSegment& segment) {
  return {segment.format, segment.rows, w.k, cpu::panel_layout(segment.format, w.k),
          w.storage.data<std::byte>() + segment.offset};
}

}  // namespace

void matmul(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
            const TensorView& out, MatmulEpilogue epilogue) {
  check_views(ctx, x, w, bias, out);
  if (!ctx.on_cpu()) return cuda::matmul(ctx, x, w, bias, out, epilogue);
  if (x.dim(0) == 0) return;
  ArenaScope scope(ctx.scratch);
  ThreadPool& pool = cpu_stream(ctx).pool();
  const cpu::MatmulKernels kernels = cpu::matmul_kernels(cpu_stream(ctx).isa());
  const cpu::PlainRows plain{x.dim(0), x.data<float>(), x.row_stride()};
  cpu::QuantizedRows quantized;
  if (has_block_segment(w)) quantized = quantize(ctx, kernels, x, w);
  RoundedRows rounded;
  if (has_segment(w, DType::kBF16)) rounded = round_rows(ctx, kernels, x);

  int64_t panels = 0;
  for (const PackedSegment& segment : w.segments) panels += cpu::panel_count(segment.rows);
  pool.parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    int64_t first = 0;  // panel of the segment among all panels
    for (const PackedSegment& segment : w.segments) {
      const int64_t count = cpu::panel_count(segment.rows);
      const int64_t from = std::max<int64_t>(begin - first, 0), to = std::min(end - first, count);
      first += count;
      if (from >= to) continue;
      const cpu::PanelMatrix matrix = panel_matrix(w, segment);
      const cpu::MatmulOutput result{out.data<float>() + segment.row_begin, out.row_stride(),
                                     bias.empty() ? nullptr : bias.data<float>() + segment.row_begin,
                                     epilogue == MatmulEpilogue::kAdd};
      if (is_block_quantized(segment.format)) {
        kernels.int8(matrix, quantized, result, from, to);
      } else if (segment.format == DType::kBF16 && kernels.bf16 != nullptr) {
        kernels.bf16(matrix, rounded.bf16, result, from, to);
      } else if (segment.format == DType::kBF16) {
        kernels.plain(matrix, rounded.plain, result, from, to);
      } else {
        kernels.plain(matrix, plain, result, from, to);
      }
    }
  });
}

}  // namespace lmdeploy
