#include "kernels/cpu/matmul.h"

#include <algorithm>

#include "kernels/cpu/dequant.h"
#include "kernels/cpu/gated_activation.h"
#include "kernels/cpu/matmul_kernels.h"

namespace lmdeploy::cpu {

namespace {

// Rows x k below which one thread converts the activations before the others start: a fork-join
// costs about as much.
constexpr int64_t kSerialElements = 16 << 10;

// fn(begin, end) over blocks of rows, in parallel when that pays.
template <class F>
void for_row_blocks(ThreadPool& pool, int64_t rows, int64_t k, F fn) {
  if (rows * k <= kSerialElements) return fn(int64_t{0}, rows);
  pool.parallel_for(rows, kRowBlock, fn);
}

bool has_block_segment(const PackedMatrix& w) {
  return std::any_of(w.segments.begin(), w.segments.end(),
                     [](const PackedSegment& s) { return is_block_quantized(s.format); });
}

QuantizedRows quantize(Ctx& ctx, const MatmulKernels& kernels, const TensorView& x,
                       const PackedMatrix& w) {
  QuantizedRows rows{x.dim(0), w.k / kGroup};
  const int64_t count = rows.rows * rows.groups;
  rows.codes = ctx.scratch.allocate<int8_t>(count * kGroup);
  rows.scale = ctx.scratch.allocate<float>(count);
  rows.sum = ctx.scratch.allocate<float>(count);
  for (const PackedSegment& segment : w.segments) {
    const int slot = zero_slot(segment.format);
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

// Whether block types are multiplied as bf16.
bool rounds_blocks(const Ctx& ctx, const MatmulKernels& kernels, int64_t rows) {
  return !ctx.batch_invariant && kernels.rounds_blocks_from > 0 && rows >= kernels.rounds_blocks_from;
}

// The operands of bf16 products: rows of bf16 where the instruction set multiplies them, else fp32 of
// the same values.
struct RoundedRows {
  Bf16Rows bf16;
  PlainRows plain;
};

RoundedRows round_rows(Ctx& ctx, const MatmulKernels& kernels, const TensorView& x) {
  const int64_t rows = x.dim(0), k = x.dim(1);
  const int64_t steps = padded_bf16_k(k) / 32;
  const int64_t slabs = (steps + kBf16SlabSteps - 1) / kBf16SlabSteps;
  RoundedRows rounded{{rows, steps, (steps + slabs - 1) / slabs}, {rows, nullptr, k}};
  ThreadPool& pool = cpu_stream(ctx).pool();
  if (kernels.round != nullptr) {
    // AMX tiles read whole blocks: what lies behind the last rows only has to be readable.
    const int64_t count = rows * rounded.bf16.steps + kRowBlock;
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

PanelMatrix panel_matrix(const PackedMatrix& w, const PackedSegment& segment) {
  return {segment.format, segment.rows, w.k, panel_layout(segment.format, w.k),
          w.storage.data<std::byte>() + segment.offset};
}

// x in the forms that the segments of a weight read, and the kernels that read them.
struct Operands {
  MatmulKernels kernels;
  PlainRows plain;
  QuantizedRows quantized;
  RoundedRows rounded;
  bool round_blocks = false;
};

Operands make_operands(Ctx& ctx, const TensorView& x, const PackedMatrix& w) {
  Operands operands{.kernels = matmul_kernels(cpu_stream(ctx).isa()),
                    .plain = {x.dim(0), x.data<float>(), x.row_stride()}};
  const MatmulKernels& kernels = operands.kernels;
  const bool blocks = has_block_segment(w);
  operands.round_blocks = blocks && rounds_blocks(ctx, kernels, x.dim(0));
  if (blocks && !operands.round_blocks) operands.quantized = quantize(ctx, kernels, x, w);
  if (operands.round_blocks || has_segment(w, DType::kBF16)) {
    operands.rounded = round_rows(ctx, kernels, x);
  }
  return operands;
}

// Panels [begin, end) of a segment; column 0 of `out` is the first one's.
void multiply_segment(const Operands& x, const PanelMatrix& segment, const MatmulOutput& out,
                      int64_t begin, int64_t end) {
  PanelMatrix w = segment;
  w.panels += begin * static_cast<int64_t>(w.layout.bytes);
  w.rows -= begin * kPanelRows;
  const MatmulKernels& kernels = x.kernels;
  const bool block = is_block_quantized(w.format);
  if (block && !x.round_blocks) {
    kernels.int8(w, x.quantized, out, 0, end - begin);
  } else if (block || (w.format == DType::kBF16 && kernels.bf16 != nullptr)) {
    kernels.bf16(w, x.rounded.bf16, out, 0, end - begin);
  } else {
    kernels.plain(w, w.format == DType::kBF16 ? x.rounded.plain : x.plain, out, 0, end - begin);
  }
}

int64_t total_panels(const PackedMatrix& w) {
  int64_t panels = 0;
  for (const PackedSegment& segment : w.segments) panels += panel_count(segment.rows);
  return panels;
}

// Panels [begin, end) of all segments, counted on from one to the next. Column 0 of `out` is that of
// row `first_row` of w.
void multiply_panels(const Operands& x, const PackedMatrix& w, const MatmulOutput& out,
                     int64_t first_row, int64_t begin, int64_t end) {
  int64_t first = 0;  // panel of the segment among all panels
  for (const PackedSegment& segment : w.segments) {
    const int64_t count = panel_count(segment.rows);
    const int64_t from = std::max<int64_t>(begin - first, 0), to = std::min(end - first, count);
    first += count;
    if (from >= to) continue;
    const int64_t column = segment.row_begin + from * kPanelRows - first_row;
    const MatmulOutput part{out.data + column, out.stride,
                            out.bias == nullptr ? nullptr : out.bias + column, out.add};
    multiply_segment(x, panel_matrix(w, segment), part, from, to);
  }
}

}  // namespace

void matmul(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
            const TensorView& out, bool add) {
  ArenaScope scope(ctx.scratch);
  const Operands operands = make_operands(ctx, x, w);
  const MatmulOutput result{out.data<float>(), out.row_stride(),
                            bias.empty() ? nullptr : bias.data<float>(), add};
  cpu_stream(ctx).pool().parallel_for(total_panels(w), 1, [&](int64_t begin, int64_t end) {
    multiply_panels(operands, w, result, 0, begin, end);
  });
}

bool matmul_gated(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
                  Activation activation, const TensorView& out) {
  // Gate and up of a strip, in floats: half of the smallest second-level cache of these processors.
  constexpr int64_t kStripFloats = 128 << 10;
  const int64_t rows = x.dim(0), size = w.n / 2, panels = size / kPanelRows;
  if (size % kPanelRows != 0 || total_panels(w) != 2 * panels) return false;  // some panel is not full
  ArenaScope scope(ctx.scratch);
  const Operands operands = make_operands(ctx, x, w);
  CpuStream& stream = cpu_stream(ctx);
  ThreadPool& pool = stream.pool();
  const int64_t share = (panels + pool.size() - 1) / pool.size();
  const int64_t strip = std::min(share, std::max<int64_t>(2, kStripFloats / (4 * kPanelRows * rows) * 2));
  const int64_t stride = 2 * strip * kPanelRows;
  float* scratch = ctx.scratch.allocate<float>(pool.size() * rows * stride);
  pool.run([&](int worker) {
    float* gate = scratch + worker * rows * stride;
    float* up = gate + strip * kPanelRows;
    const int64_t last = std::min(panels, share * (worker + 1));
    for (int64_t begin = share * worker; begin < last; begin += strip) {
      const int64_t end = std::min(begin + strip, last), column = begin * kPanelRows;
      const auto multiply = [&](float* to, int64_t first_panel, int64_t first_row) {
        const float* to_bias = bias.empty() ? nullptr : bias.data<float>() + first_row;
        multiply_panels(operands, w, {to, stride, to_bias}, first_row, first_panel + begin,
                        first_panel + end);
      };
      multiply(gate, 0, column);
      multiply(up, panels, size + column);
      gated_activation_rows(stream.isa(),
                            {.gate = gate, .up = up, .out = out.data<float>() + column,
                             .gate_up_stride = stride, .out_stride = out.row_stride(), .rows = rows,
                             .size = (end - begin) * kPanelRows, .activation = activation});
    }
  });
  return true;
}

}  // namespace lmdeploy::cpu
