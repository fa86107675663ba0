#include "nn/float_load.h"

#include <cstring>

namespace lmdeploy {
namespace {

template <class T>
void copy_as(const LoadedSlice& slice, float* out) {
  for (int64_t r = 0; r < slice.rows; ++r) {
    const std::byte* row = slice.data + static_cast<size_t>(r) * slice.row_bytes;
    for (int64_t c = 0; c < slice.cols; ++c) {
      T value;
      std::memcpy(&value, row + static_cast<size_t>(c) * sizeof(T), sizeof(T));
      *out++ = to_float(value);
    }
  }
}

}  // namespace

Status copy_floats(const LoadedSlice& slice, float* out) {
  switch (slice.dtype) {
    case DType::kF32: copy_as<float>(slice, out); return {};
    case DType::kF16: copy_as<f16>(slice, out); return {};
    case DType::kBF16: copy_as<bf16>(slice, out); return {};
    default:
      return unsupported("a vector of type {} cannot be read; expected f32, f16 or bf16",
                         dtype_name(slice.dtype));
  }
}

}  // namespace lmdeploy
