#include "kernels/matmul.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/dequant.h"
#include "kernels/cpu/matmul_kernels.h"

namespace lmdeploy {

namespace {

// Rows x k below which one thread converts the activations before the others start: a fork-join
// costs about as much.
constexpr int64_t kSerialElements = 16 << 10;

void check_shapes(const TensorView& x, const PackedMatrix& w, const TensorView& bias, const TensorView& out) {
  CHECK(w.layout == PackedLayout::kInterleaved, "the weight is not packed");
  CHECK(x.dtype() == DType::kF32 && x.shape().rank() == 2 && x.dim(1) == w.k, "x is {} {}, want f32 [T, {}]",
        dtype_name(x.dtype()), x.shape().to_string(), w.k);
  CHECK(out.dtype() == DType::kF32 && out.shape() == (Shape{x.dim(0), w.n}), "out is {} {}, want f32 {}",
        dtype_name(out.dtype()), out.shape().to_string(), (Shape{x.dim(0), w.n}).to_string());
  CHECK(bias.empty() || (bias.dtype() == DType::kF32 && bias.shape() == (Shape{w.n})), "bias is {} {}, want f32 {}",
        dtype_name(bias.dtype()), bias.shape().to_string(), (Shape{w.n}).to_string());
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

cpu::PanelMatrix panel_matrix(const PackedMatrix& w, const PackedSegment& segment) {
  return {segment.format, segment.rows, w.k, cpu::panel_layout(segment.format, w.k),
          w.storage.data<std::byte>() + segment.offset};
}

}  // namespace

void matmul(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
            const TensorView& out, MatmulEpilogue epilogue) {
  CHECK(ctx.on_cpu(), "packed CPU weights on another device");
  check_shapes(x, w, bias, out);
  if (x.dim(0) == 0) return;
  ArenaScope scope(ctx.scratch);
  ThreadPool& pool = cpu_stream(ctx).pool();
  const cpu::MatmulKernels kernels = cpu::matmul_kernels(cpu_stream(ctx).isa());
  const cpu::PlainRows plain{x.dim(0), x.data<float>(), x.row_stride()};
  cpu::QuantizedRows quantized;
  if (has_block_segment(w)) quantized = quantize(ctx, kernels, x, w);

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
      } else {
        kernels.plain(matrix, plain, result, from, to);
      }
    }
  });
}

}  // namespace lmdeploy
