#include "nn/unit_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/packed_matrix.h"

namespace lmdeploy {
namespace {

void divide_row(std::vector<float>& row) {
  double square = 0;
  for (float x : row) square += double{x} * x;
  const auto length = static_cast<float>(std::max(std::sqrt(square), 1e-12));
  for (float& x : row) x /= length;
}

void write_row(const std::vector<float>& row, DType dtype, std::byte* out) {
  for (float x : row) {
    if (dtype == DType::kF32) {
      std::memcpy(out, &x, sizeof(x));
      out += sizeof(x);
      continue;
    }
    const uint16_t bits = dtype == DType::kF16 ? to_f16(x).bits : to_bf16(x).bits;
    std::memcpy(out, &bits, sizeof(bits));
    out += sizeof(bits);
  }
}

}  // namespace

Result<LoadedSlice> divide_rows(const LoadedSlice& slice, const std::string& name,
                                std::vector<std::byte>& storage) {
  if (slice.dummy.has_value()) return slice;
  const bool fp8 = slice.dtype == DType::kF8E4M3 && slice.scales.data != nullptr;
  if (!fp8 && !is_float(slice.dtype)) {
    return unsupported(
        "{}: rows of type {} cannot be normalized; expected f32, f16, bf16 or fp8 with scales",
        name, dtype_name(slice.dtype));
  }
  LoadedSlice divided = slice;
  divided.dtype = fp8 ? DType::kBF16 : slice.dtype;
  divided.scales = {};
  divided.row_bytes = static_cast<size_t>(dtype_bytes(divided.dtype, slice.cols));
  storage.resize(divided.row_bytes * static_cast<size_t>(slice.rows));
  divided.data = storage.data();
  const RowSource source{slice.dtype,     slice.rows, slice.cols,  slice.data,
                         slice.row_bytes, {},         slice.scales};
  std::vector<float> row(static_cast<size_t>(slice.cols));
  for (int64_t r = 0; r < slice.rows; ++r) {
    pack_rows(source, r, 1, DType::kF32, reinterpret_cast<std::byte*>(row.data()));
    divide_row(row);
    write_row(row, divided.dtype, storage.data() + static_cast<size_t>(r) * divided.row_bytes);
  }
  return divided;
}

}  // namespace lmdeploy
