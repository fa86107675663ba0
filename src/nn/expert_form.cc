#include "nn/expert_form.h"

#include "quant/mxfp4.h"

namespace lmdeploy {
namespace {

// A matrix [rows, cols] inside of a slice: its rows are `stride` elements apart, the first at
// element `first`.
Result<LoadedSlice> inner_matrix(const LoadedSlice& slice, int64_t first, int64_t rows,
                                 int64_t cols, int64_t stride) {
  const int64_t block = dtype_info(slice.dtype).block_elems;
  if (first % block != 0 || cols % block != 0 || stride % block != 0) {
    return unsupported(
        "experts of type {} cannot be cut into columns [{}, +{}): its blocks have {}",
        dtype_name(slice.dtype), first, cols, block);
  }
  LoadedSlice inner = slice;
  inner.rows = rows;
  inner.cols = cols;
  inner.data = slice.data + dtype_bytes(slice.dtype, first);
  inner.row_bytes = static_cast<size_t>(dtype_bytes(slice.dtype, stride));
  return inner;
}

// Of rows gate, up, gate, up, ...: all gates, then all ups.
std::vector<int32_t> parted_rows(int64_t count) {
  std::vector<int32_t> order;
  for (int32_t first : {0, 1}) {
    for (int64_t i = 0; i < count; ++i) order.push_back(static_cast<int32_t>(2 * i) + first);
  }
  return order;
}

}  // namespace

ExpertReader::ExpertReader(const Weights& weights, ExpertForm form, ExpertNames names,
                           ExpertShape shape)
    : form_(form), names_(std::move(names)), shape_(shape), prefix_((weights / "experts").name()) {}

LoadSource ExpertReader::source(const std::string& name, Shape whole, int64_t row_begin,
                                int64_t rows) const {
  return {
      .tensor = prefix_ + "." + name, .shape = whole, .row_begin = row_begin, .row_count = rows};
}

LoadSource ExpertReader::separate(int expert, const std::string& name, bool of_down) const {
  const std::string tensor = std::to_string(expert) + "." + name + ".weight";
  if (!of_down) {
    return source(tensor, Shape{shape_.size, shape_.hidden}, shape_.begin, shape_.count);
  }
  LoadSource down = source(tensor, Shape{shape_.hidden, shape_.size}, 0, shape_.hidden);
  down.col_begin = shape_.begin;
  down.col_count = shape_.count;
  return down;
}

std::vector<LoadSource> ExpertReader::gate_up_sources(int expert) const {
  const int64_t e = expert, experts = shape_.experts, h = shape_.hidden, size = shape_.size;
  switch (form_) {
    case ExpertForm::kSeparate:
      return {separate(expert, names_.gate, false), separate(expert, names_.up, false)};
    case ExpertForm::kStacked: return {source(names_.gate, Shape{experts, 2 * size, h}, e, 1)};
    case ExpertForm::kRows: {
      const Shape whole{experts * size, h};
      return {source(names_.gate, whole, e * size + shape_.begin, shape_.count),
              source(names_.up, whole, e * size + shape_.begin, shape_.count)};
    }
    case ExpertForm::kInputFirst: return {source(names_.gate, Shape{experts, h, 2 * size}, e, 1)};
    case ExpertForm::kMxfp4: {
      const int64_t blocks = h / kMxfp4Block;
      return {
          source(names_.gate + "_blocks", Shape{experts, 2 * size, blocks, kMxfp4BlockBytes}, e, 1),
          source(names_.gate + "_scales", Shape{experts, 2 * size, blocks}, e, 1)};
    }
  }
  return {};
}

std::vector<LoadSource> ExpertReader::down_sources(int expert) const {
  const int64_t e = expert, experts = shape_.experts, h = shape_.hidden, size = shape_.size;
  switch (form_) {
    case ExpertForm::kSeparate: return {separate(expert, names_.down, true)};
    case ExpertForm::kStacked: return {source(names_.down, Shape{experts, h, size}, e, 1)};
    case ExpertForm::kRows: {
      LoadSource down =
          source(names_.down, Shape{experts * size, h}, e * size + shape_.begin, shape_.count);
      down.transposed = true;
      return {down};
    }
    case ExpertForm::kInputFirst: return {source(names_.down, Shape{experts, size, h}, e, 1)};
    case ExpertForm::kMxfp4: {
      const int64_t blocks = size / kMxfp4Block;
      return {source(names_.down + "_blocks", Shape{experts, h, blocks, kMxfp4BlockBytes}, e, 1),
              source(names_.down + "_scales", Shape{experts, h, blocks}, e, 1)};
    }
  }
  return {};
}

Result<ExpertSlices> ExpertReader::dequantized(std::span<const LoadedSlice> loaded,
                                               int64_t first_row, int64_t rows,
                                               int64_t columns) const {
  if (loaded[0].dtype != DType::kU8 || loaded[1].dtype != DType::kU8) {
    return unsupported("MXFP4 codes and scales are {} and {}; expected u8",
                       dtype_name(loaded[0].dtype), dtype_name(loaded[1].dtype));
  }
  const int64_t blocks = columns / kMxfp4Block;
  ExpertSlices result;
  result.storage.resize(static_cast<size_t>(dtype_bytes(DType::kBF16, rows * columns)));
  dequantize_mxfp4(loaded[0].data + first_row * blocks * kMxfp4BlockBytes,
                   loaded[1].data + first_row * blocks, rows * blocks,
                   reinterpret_cast<bf16*>(result.storage.data()));
  result.slices.push_back({DType::kBF16, rows, columns, result.storage.data(),
                           static_cast<size_t>(dtype_bytes(DType::kBF16, columns)), kBakedNothing});
  return result;
}

Result<ExpertSlices> ExpertReader::gate_up(std::span<const LoadedSlice> loaded) const {
  const int64_t h = shape_.hidden, begin = shape_.begin, count = shape_.count;
  ExpertSlices result;
  switch (form_) {
    case ExpertForm::kSeparate:
    case ExpertForm::kRows: result.slices.assign(loaded.begin(), loaded.end()); break;
    case ExpertForm::kStacked:
      for (int64_t first : {begin, shape_.size + begin}) {
        ASSIGN_OR_RETURN(const LoadedSlice part, inner_matrix(loaded[0], first * h, count, h, h));
        result.slices.push_back(part);
      }
      break;
    case ExpertForm::kInputFirst: {
      ASSIGN_OR_RETURN(LoadedSlice both,
                       inner_matrix(loaded[0], 2 * begin, h, 2 * count, 2 * shape_.size));
      both.transposed = true;
      result.slices.push_back(both);
      break;
    }
    case ExpertForm::kMxfp4: {
      ASSIGN_OR_RETURN(result, dequantized(loaded, 2 * begin, 2 * count, h));
      break;
    }
  }
  result.orders.resize(result.slices.size());
  if (form_ == ExpertForm::kInputFirst || form_ == ExpertForm::kMxfp4) {
    result.orders[0] = parted_rows(count);
  }
  return result;
}

Result<ExpertSlices> ExpertReader::down(std::span<const LoadedSlice> loaded) const {
  const int64_t h = shape_.hidden, size = shape_.size, begin = shape_.begin, count = shape_.count;
  ExpertSlices result;
  switch (form_) {
    case ExpertForm::kSeparate:
    case ExpertForm::kRows: result.slices.assign(loaded.begin(), loaded.end()); break;
    case ExpertForm::kStacked: {
      ASSIGN_OR_RETURN(const LoadedSlice part, inner_matrix(loaded[0], begin, h, count, size));
      result.slices.push_back(part);
      break;
    }
    case ExpertForm::kInputFirst: {
      ASSIGN_OR_RETURN(LoadedSlice part, inner_matrix(loaded[0], begin * h, count, h, h));
      part.transposed = true;
      result.slices.push_back(part);
      break;
    }
    case ExpertForm::kMxfp4: {
      ASSIGN_OR_RETURN(result, dequantized(loaded, 0, h, size));
      ASSIGN_OR_RETURN(result.slices[0], inner_matrix(result.slices[0], begin, h, count, size));
      break;
    }
  }
  result.orders.resize(result.slices.size());
  return result;
}

std::vector<LoadedSlice> ExpertReader::shapes(bool of_down, DType stored) const {
  const DType dtype = form_ == ExpertForm::kMxfp4 ? DType::kBF16 : stored;
  const int64_t rows = of_down ? shape_.hidden : shape_.count;
  const int64_t cols = of_down ? shape_.count : shape_.hidden;
  const LoadedSlice slice{dtype, rows, cols, nullptr, 0, kBakedNothing};
  if (of_down) return {slice};
  return {slice, slice};
}

LoadSource ExpertReader::gate_up_bias() const {
  return source(names_.gate + "_bias", Shape{shape_.experts, 2 * shape_.size}, 0, shape_.experts);
}

LoadSource ExpertReader::down_bias() const {
  return source(names_.down + "_bias", Shape{shape_.experts, shape_.hidden}, 0, shape_.experts);
}

}  // namespace lmdeploy
