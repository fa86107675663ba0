#include "nn/float_load.h"

#include <algorithm>
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

Tensor float_tensor(std::span<const float> values, Shape shape, const BuildOptions& options) {
  CHECK(shape.numel() == static_cast<int64_t>(values.size()), "{} values for {}", values.size(),
        shape.to_string());
  if (options.device.is_cpu()) {
    Tensor tensor(shape, DType::kF32);
    std::copy(values.begin(), values.end(), tensor.data<float>());
    return tensor;
  }
  Tensor tensor = options.memory->allocate(shape, DType::kF32);
  const size_t most = options.uploader->buffer_bytes() / sizeof(float);
  for (size_t begin = 0; begin < values.size(); begin += most) {
    const std::span<const float> part =
        values.subspan(begin, std::min(most, values.size() - begin));
    options.uploader->write(tensor.data<float>() + begin, part.size_bytes(), [&](std::byte* to) {
      std::memcpy(to, part.data(), part.size_bytes());
    });
  }
  return tensor;
}

}  // namespace lmdeploy
