#include "nn/unit_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "nn/float_load.h"

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
  if (slice.dtype != DType::kF32 && slice.dtype != DType::kF16 && slice.dtype != DType::kBF16) {
    return unsupported("{}: rows of type {} cannot be normalized; expected f32, f16 or bf16", name,
                       dtype_name(slice.dtype));
  }
  LoadedSlice divided = slice;
  divided.row_bytes = static_cast<size_t>(dtype_bytes(slice.dtype, slice.cols));
  storage.resize(divided.row_bytes * static_cast<size_t>(slice.rows));
  divided.data = storage.data();
  std::vector<float> row(static_cast<size_t>(slice.cols));
  for (int64_t r = 0; r < slice.rows; ++r) {
    LoadedSlice one = slice;
    one.rows = 1;
    one.data += static_cast<size_t>(r) * slice.row_bytes;
    RETURN_IF_ERROR(copy_floats(one, row.data()));
    divide_row(row);
    write_row(row, slice.dtype, storage.data() + static_cast<size_t>(r) * divided.row_bytes);
  }
  return divided;
}

}  // namespace lmdeploy
