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

// How a product is shared out: groups of threads take strips of rows, the threads of a group share the
// panels. In a group of one thread its rows are the same in every op, so they stay in its cache; but each
// strip reads all weights, and its rows must outweigh rounding them.
class RowStrips {
 public:
  // One strip.
  explicit RowStrips(int64_t rows) : rows_(rows) {}
  // Strips of about kFewestRows to kMostRows rows, as far as that many threads can share them evenly.
  RowStrips(int64_t rows, int threads) : rows_(rows) {
    while (groups_ < threads && rows / (groups_ + 1) >= kFewestRows) ++groups_;
    while (threads % groups_ != 0) --groups_;
    per_group_ = (rows + groups_ * kMostRows - 1) / (groups_ * kMostRows);
  }

  int64_t count() const { return groups_ * per_group_; }
  // Borders are those of ThreadPool::parallel_for.
  int64_t begin(int64_t strip) const {
    const int64_t blocks = (rows_ + kRowBlock - 1) / kRowBlock;
    return std::min(rows_, blocks * strip / count() * kRowBlock);
  }
  int64_t size(int64_t strip) const { return begin(strip + 1) - begin(strip); }
  int64_t most_rows() const {
    const int64_t blocks = (rows_ + kRowBlock - 1) / kRowBlock;
    return std::min(rows_, (blocks + count() - 1) / count() * kRowBlock);
  }
  // The longest range that share_out gives a thread.
  int64_t most_of(const ThreadPool& pool, int64_t n) const {
    const int64_t workers = workers_of_group(pool);
    return (n + workers - 1) / workers;
  }

  // Calls fn(worker, strip, begin, end) for each strip and ranges that cover [0, n).
  template <class F>
  void share_out(ThreadPool& pool, int64_t n, F fn) const {
    const int64_t workers = workers_of_group(pool);
    pool.run([&](int worker) {
      const int64_t group = worker / workers, in_group = worker % workers;
      const int64_t from = n * in_group / workers, to = n * (in_group + 1) / workers;
      for (int64_t i = 0; i < per_group_ && from < to; ++i) fn(worker, group * per_group_ + i, from, to);
    });
  }

 private:
  int64_t workers_of_group(const ThreadPool& pool) const { return pool.size() / groups_; }

  static constexpr int64_t kFewestRows = 192, kMostRows = 512;
  int64_t rows_;
  int64_t groups_ = 1, per_group_ = 1;
};

// The operands of bf16 products: rows of bf16 where the instruction set multiplies them, else fp32 of
// the same values.
struct RoundedRows {
  Bf16Rows bf16;  // each strip lies as if it were alone
  PlainRows plain;
};

// Rows [begin, begin + rows) of x, a strip.
Bf16Rows strip_of(const Bf16Rows& x, int64_t begin, int64_t rows) {
  return {rows, x.steps, x.slab_steps, x.data + begin * x.steps * 32};
}

Bf16Rows allocate_bf16(Ctx& ctx, int64_t rows, int64_t k) {
  const int64_t steps = padded_bf16_k(k) / 32;
  const int64_t slabs = (steps + kBf16SlabSteps - 1) / kBf16SlabSteps;
  // AMX tiles read whole blocks: what lies behind the last rows only has to be readable.
  const int64_t count = (rows * steps + kRowBlock) * 32;
  return {rows, steps, (steps + slabs - 1) / slabs, ctx.scratch.allocate<uint16_t>(count)};
}

RoundedRows round_rows(Ctx& ctx, const MatmulKernels& kernels, const TensorView& x,
                       const RowStrips& strips) {
  const int64_t rows = x.dim(0), k = x.dim(1);
  RoundedRows rounded{{}, {rows, nullptr, k}};
  ThreadPool& pool = cpu_stream(ctx).pool();
  if (kernels.round != nullptr) {
    rounded.bf16 = allocate_bf16(ctx, rows, k);
    for_row_blocks(pool, rows, k, [&](int64_t begin, int64_t end) {
      for (int64_t strip = 0; strip < strips.count(); ++strip) {
        const int64_t first = strips.begin(strip), size = strips.size(strip);
        const int64_t from = std::max(begin - first, int64_t{0}), to = std::min(end - first, size);
        if (from >= to) continue;
        kernels.round(x.row<float>(first), k, x.row_stride(), from, to,
                      strip_of(rounded.bf16, first, size), 0);
      }
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
  RowStrips strips;  // one, where any form but bf16 is read
  PlainRows plain;
  QuantizedRows quantized;
  RoundedRows rounded;
  bool round_blocks = false;
};

// Whether all products of a weight are those of kernels.bf16.
bool all_bf16(const PackedMatrix& w, const MatmulKernels& kernels, bool round_blocks) {
  return kernels.bf16 != nullptr &&
         std::all_of(w.segments.begin(), w.segments.end(), [&](const PackedSegment& s) {
           return s.format == DType::kBF16 || (round_blocks && is_block_quantized(s.format));
         });
}

Operands make_operands(Ctx& ctx, const TensorView& x, const PackedMatrix& w) {
  const MatmulKernels kernels = matmul_kernels(cpu_stream(ctx).isa());
  const int64_t rows = x.dim(0);
  const bool blocks = has_block_segment(w);
  const bool round_blocks = blocks && rounds_blocks(ctx, kernels, rows);
  const bool in_strips = all_bf16(w, kernels, round_blocks);
  Operands operands{.kernels = kernels,
                    .strips = in_strips ? RowStrips(rows, cpu_stream(ctx).pool().size()) : RowStrips(rows),
                    .plain = {rows, x.data<float>(), x.row_stride()},
                    .round_blocks = round_blocks};
  if (blocks && !round_blocks) operands.quantized = quantize(ctx, kernels, x, w);
  if (round_blocks || has_segment(w, DType::kBF16)) {
    operands.rounded = round_rows(ctx, kernels, x, operands.strips);
  }
  return operands;
}

// Panels [begin, end) of a segment times a strip of rows; column 0 of `out` is the first panel's, row 0
// the strip's.
void multiply_segment(const Operands& x, int64_t strip, const PanelMatrix& segment,
                      const MatmulOutput& out, int64_t begin, int64_t end) {
  PanelMatrix w = segment;
  w.panels += begin * static_cast<int64_t>(w.layout.bytes);
  w.rows -= begin * kPanelRows;
  const MatmulKernels& kernels = x.kernels;
  const bool block = is_block_quantized(w.format);
  if (block && !x.round_blocks) {
    kernels.int8(w, x.quantized, out, 0, end - begin);
  } else if (block || (w.format == DType::kBF16 && kernels.bf16 != nullptr)) {
    const Bf16Rows rows = strip_of(x.rounded.bf16, x.strips.begin(strip), x.strips.size(strip));
    kernels.bf16(w, rows, out, 0, end - begin);
  } else {
    kernels.plain(w, w.format == DType::kBF16 ? x.rounded.plain : x.plain, out, 0, end - begin);
  }
}

int64_t total_panels(const PackedMatrix& w) {
  int64_t panels = 0;
  for (const PackedSegment& segment : w.segments) panels += panel_count(segment.rows);
  return panels;
}

// Panels [begin, end) of all segments, counted on from one to the next, times a strip of rows. Column 0
// of `out` is that of row `first_row` of w, row 0 the strip's.
void multiply_panels(const Operands& x, int64_t strip, const PackedMatrix& w, const MatmulOutput& out,
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
    multiply_segment(x, strip, panel_matrix(w, segment), part, from, to);
  }
}

// out (+)= x W^T + bias.
void multiply(Ctx& ctx, const Operands& operands, const PackedMatrix& w, const TensorView& bias,
              const TensorView& out, bool add) {
  const MatmulOutput result{out.data<float>(), out.row_stride(),
                            bias.empty() ? nullptr : bias.data<float>(), add};
  const auto multiply_share = [&](int, int64_t strip, int64_t begin, int64_t end) {
    MatmulOutput rows = result;
    rows.data += operands.strips.begin(strip) * result.stride;
    multiply_panels(operands, strip, w, rows, 0, begin, end);
  };
  operands.strips.share_out(cpu_stream(ctx).pool(), total_panels(w), multiply_share);
}

// Gate and up of some columns, [rows, columns] each, for the activation.
struct GatedColumns {
  int64_t strip, column, columns;
  float *gate, *up;
  int64_t stride;
};

// Whether gate and up have panels of their own, all of them full.
bool has_gated_panels(const PackedMatrix& w) {
  return w.n % (2 * kPanelRows) == 0 && total_panels(w) == w.n / kPanelRows;
}

// Calls activate(GatedColumns) on the threads for all strips and columns; `column` is even in panels.
template <class F>
void multiply_gated(Ctx& ctx, const Operands& operands, const PackedMatrix& w, const TensorView& bias,
                    F activate) {
  // Gate and up of a thread's columns, in floats: half of the smallest second-level cache of these
  // processors.
  constexpr int64_t kStripFloats = 128 << 10;
  const int64_t size = w.n / 2, panels = size / kPanelRows;
  const RowStrips& strips = operands.strips;
  ThreadPool& pool = cpu_stream(ctx).pool();
  const int64_t most_rows = strips.most_rows(), pairs = (panels + 1) / 2;
  const int64_t most_pairs = std::max<int64_t>(1, kStripFloats / (4 * kPanelRows * most_rows));
  const int64_t width = 2 * std::min(most_pairs, strips.most_of(pool, pairs));  // in panels
  const int64_t stride = 2 * width * kPanelRows;
  float* scratch = ctx.scratch.allocate<float>(pool.size() * most_rows * stride);
  strips.share_out(pool, pairs, [&](int worker, int64_t strip, int64_t from, int64_t to) {
    float* gate = scratch + worker * most_rows * stride;
    float* up = gate + stride / 2;
    for (int64_t begin = 2 * from; begin < std::min(2 * to, panels); begin += width) {
      const int64_t end = std::min({begin + width, 2 * to, panels}), column = begin * kPanelRows;
      const auto multiply_half = [&](float* sums, int64_t first_panel, int64_t first_row) {
        const float* sums_bias = bias.empty() ? nullptr : bias.data<float>() + first_row;
        multiply_panels(operands, strip, w, {sums, stride, sums_bias}, first_row, first_panel + begin,
                        first_panel + end);
      };
      multiply_half(gate, 0, column);
      multiply_half(up, panels, size + column);
      activate(GatedColumns{strip, column, (end - begin) * kPanelRows, gate, up, stride});
    }
  });
}

}  // namespace

void matmul(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
            const TensorView& out, bool add) {
  ArenaScope scope(ctx.scratch);
  multiply(ctx, make_operands(ctx, x, w), w, bias, out, add);
}

bool matmul_gated(Ctx& ctx, const TensorView& x, const PackedMatrix& w, const TensorView& bias,
                  Activation activation, const TensorView& out) {
  if (!has_gated_panels(w)) return false;
  ArenaScope scope(ctx.scratch);
  const Operands operands = make_operands(ctx, x, w);
  multiply_gated(ctx, operands, w, bias, [&](const GatedColumns& part) {
    float* to = out.row<float>(operands.strips.begin(part.strip)) + part.column;
    gated_activation_rows(cpu_stream(ctx).isa(),
                          {.gate = part.gate, .up = part.up, .out = to, .gate_up_stride = part.stride,
                           .out_stride = out.row_stride(), .rows = operands.strips.size(part.strip),
                           .size = part.columns, .activation = activation});
  });
  return true;
}

bool gated_mlp(Ctx& ctx, const TensorView& x, const PackedMatrix& gate_up, const TensorView& gate_up_bias,
               Activation activation, const PackedMatrix& down, const TensorView& down_bias,
               const TensorView& out, bool add) {
  const MatmulKernels kernels = matmul_kernels(cpu_stream(ctx).isa());
  const int64_t rows = x.dim(0);
  const bool round_blocks = rounds_blocks(ctx, kernels, rows);
  if (!has_gated_panels(gate_up) || !all_bf16(gate_up, kernels, round_blocks) ||
      !all_bf16(down, kernels, round_blocks)) {
    return false;
  }
  ArenaScope scope(ctx.scratch);
  const Operands operands = make_operands(ctx, x, gate_up);
  const RowStrips& strips = operands.strips;
  const Operands products{.kernels = kernels,
                          .strips = strips,
                          .rounded = {.bf16 = allocate_bf16(ctx, rows, down.k)},
                          .round_blocks = round_blocks};
  multiply_gated(ctx, operands, gate_up, gate_up_bias, [&](const GatedColumns& part) {
    const int64_t first = strips.begin(part.strip), size = strips.size(part.strip);
    gated_activation_rows(cpu_stream(ctx).isa(),
                          {.gate = part.gate, .up = part.up, .out = part.gate,
                           .gate_up_stride = part.stride, .out_stride = part.stride, .rows = size,
                           .size = part.columns, .activation = activation});
    kernels.round(part.gate, part.columns, part.stride, 0, size,
                  strip_of(products.rounded.bf16, first, size), part.column / 32);
  });
  multiply(ctx, products, down, down_bias, out, add);
  return true;
}

}  // namespace lmdeploy::cpu
