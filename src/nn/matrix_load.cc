#include "nn/matrix_load.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/random_normal.h"

namespace lmdeploy {

namespace {

bool is_matrix_type(DType dtype) {
  return is_float(dtype) || dtype == DType::kF8E4M3 || is_block_quantized(dtype);
}

Status check_matrix_type(const LoadedSlice& slice, const std::string& name) {
  const bool without_scales = slice.dtype == DType::kF8E4M3 && slice.scales.data == nullptr;
  if (is_matrix_type(slice.dtype) && !without_scales) return {};
  return unsupported(
      "{}: weights of type {}{} cannot be used; expected f32, f16, bf16, fp8 with scales or a GGUF "
      "block type",
      name, dtype_name(slice.dtype), without_scales ? " without scales" : "");
}

RowSource source_of(const LoadedSlice& slice, std::span<const int32_t> order) {
  return {slice.dtype, slice.rows, slice.cols, slice.data, slice.row_bytes, order, slice.scales};
}

// The slice as it is used: with rows of the matrix as rows, fp8 as bf16. Its data is not touched.
LoadedSlice as_used(const LoadedSlice& slice) {
  if (!slice.transposed) return slice;
  const DType dtype = slice.dtype == DType::kF8E4M3 ? DType::kBF16 : slice.dtype;
  return {dtype, slice.cols, slice.rows, nullptr,
          static_cast<size_t>(dtype_bytes(dtype, slice.rows)), slice.baked};
}

// Rows [first, first + count) of the slice, which begin at `rows`, as columns of `out`.
template <class T>
void write_columns(const LoadedSlice& slice, int64_t first, int64_t count, const std::byte* rows,
                   size_t row_bytes, std::byte* out) {
  for (int64_t c = 0; c < slice.cols; ++c) {
    std::byte* to = out + static_cast<size_t>(c * slice.rows + first) * sizeof(T);
    const std::byte* from = rows + static_cast<size_t>(c) * sizeof(T);
    for (int64_t r = 0; r < count; ++r) {
      std::memcpy(to + static_cast<size_t>(r) * sizeof(T),
                  from + static_cast<size_t>(r) * row_bytes, sizeof(T));
    }
  }
}

// Elements of the slice with columns and rows exchanged; of fp8 as bf16.
void exchange_axes(const LoadedSlice& slice, std::byte* out) {
  constexpr int64_t kTile = 32;  // rows whose cache lines stay at hand
  const bool fp8 = slice.dtype == DType::kF8E4M3;
  const size_t row_bytes =
      fp8 ? static_cast<size_t>(dtype_bytes(DType::kBF16, slice.cols)) : slice.row_bytes;
  std::vector<std::byte> converted(fp8 ? kTile * row_bytes : 0);
  for (int64_t first = 0; first < slice.rows; first += kTile) {
    const int64_t count = std::min(kTile, slice.rows - first);
    const std::byte* rows = slice.data + static_cast<size_t>(first) * slice.row_bytes;
    if (fp8) {
      pack_rows(source_of(slice, {}), first, count, DType::kBF16, converted.data());
      rows = converted.data();
    }
    if (slice.dtype == DType::kF32) {
      write_columns<uint32_t>(slice, first, count, rows, row_bytes, out);
    } else {
      write_columns<uint16_t>(slice, first, count, rows, row_bytes, out);
    }
  }
}

// Slices with rows of the matrix as rows; `storage` owns what had to be written anew.
Result<std::vector<LoadedSlice>> straightened(std::span<const LoadedSlice> slices,
                                              std::vector<std::vector<std::byte>>& storage,
                                              const std::string& name) {
  std::vector<LoadedSlice> result;
  for (const LoadedSlice& slice : slices) {
    RETURN_IF_ERROR(check_matrix_type(slice, name));
    result.push_back(as_used(slice));
    if (!slice.transposed) continue;
    if (is_block_quantized(slice.dtype)) {
      return unsupported("{}: a transposed matrix of type {} cannot be read", name,
                         dtype_name(slice.dtype));
    }
    storage.emplace_back(
        static_cast<size_t>(dtype_bytes(result.back().dtype, slice.rows * slice.cols)));
    exchange_axes(slice, storage.back().data());
    result.back().data = storage.back().data();
  }
  return result;
}

// Rows [first, first + slice.rows) of `storage`, brought or made on the device.
Status store_rows(const LoadedSlice& slice, std::span<const int32_t> order,
                  const BuildOptions& options, const TensorView& rows) {
  if (slice.dummy.has_value()) {
    Arena no_scratch(options.device);
    Ctx ctx{*options.stream, no_scratch};
    const DummyValues& dummy = *slice.dummy;
    random_normal(ctx, {dummy.key, dummy.first, dummy.row_elements, dummy.mean, dummy.stddev},
                  rows);
    return {};
  }
  const auto row_bytes = static_cast<size_t>(dtype_bytes(rows.dtype(), rows.dim(1)));
  const auto most = static_cast<int64_t>(options.uploader->buffer_bytes() / row_bytes);
  if (most == 0) {
    return unsupported("rows of {} elements are too long for a GPU in this version", rows.dim(1));
  }
  const RowSource source = source_of(slice, order);
  for (int64_t first = 0; first < slice.rows; first += most) {
    const int64_t count = std::min(most, slice.rows - first);
    options.uploader->write(rows.row<std::byte>(0) + static_cast<size_t>(first) * row_bytes,
                            static_cast<size_t>(count) * row_bytes, [&](std::byte* to) {
                              pack_rows(source, first, count, rows.dtype(), to);
                            });
  }
  return {};
}

// The slices one after the other from the first of `rows` on.
Status store_slices(std::span<const LoadedSlice> slices,
                    std::span<const std::vector<int32_t>> orders, const BuildOptions& options,
                    const TensorView& rows) {
  int64_t first = 0;
  for (size_t i = 0; i < slices.size(); ++i) {
    RETURN_IF_ERROR(store_rows(slices[i], orders[i], options, rows.rows(first, slices[i].rows)));
    first += slices[i].rows;
  }
  return {};
}

Result<PackedMatrix> load_on_device(std::span<const LoadedSlice> slices,
                                    std::span<const std::vector<int32_t>> orders,
                                    const BuildOptions& options) {
  int64_t rows = 0;
  for (const LoadedSlice& slice : slices) rows += slice.rows;
  Tensor storage = options.memory->allocate(Shape{rows, slices[0].cols}, options.activation_type());
  RETURN_IF_ERROR(store_slices(slices, orders, options, storage));
  return row_major_matrix(std::move(storage));
}

}  // namespace

Result<PackedMatrix> load_matrix(std::span<const LoadedSlice> loaded,
                                 std::span<const std::vector<int32_t>> orders,
                                 const BuildOptions& options, const std::string& name) {
  std::vector<std::vector<std::byte>> storage;
  ASSIGN_OR_RETURN(const std::vector<LoadedSlice> slices, straightened(loaded, storage, name));
  if (!options.device.is_cpu()) return load_on_device(slices, orders, options);
  std::vector<RowSource> sources;
  for (size_t i = 0; i < slices.size(); ++i) sources.push_back(source_of(slices[i], orders[i]));
  return pack_matrix(sources, options.pack_type(), options.memory.get());
}

Status load_rows(std::span<const LoadedSlice> loaded, std::span<const std::vector<int32_t>> orders,
                 const BuildOptions& options, const TensorView& rows, const std::string& name) {
  std::vector<std::vector<std::byte>> storage;
  ASSIGN_OR_RETURN(const std::vector<LoadedSlice> slices, straightened(loaded, storage, name));
  return store_slices(slices, orders, options, rows);
}

size_t packed_load_bytes(std::span<const LoadedSlice> slices, const BuildOptions& options) {
  std::vector<RowSource> sources;
  size_t device_bytes = 0;
  for (const LoadedSlice& slice : slices) {
    if (!is_matrix_type(slice.dtype)) return 0;
    sources.push_back(source_of(as_used(slice), {}));
    if (options.device.is_cpu()) continue;
    device_bytes +=
        static_cast<size_t>(dtype_bytes(options.activation_type(), slice.rows * slice.cols));
  }
  if (!options.device.is_cpu()) return device_bytes;
  return packed_bytes(sources, options.pack_type());
}

}  // namespace lmdeploy
