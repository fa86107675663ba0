#include "checkpoint/dummy_weights.h"

#include <cstring>

#include "base/random.h"

namespace lmdeploy {

namespace {

void store(float value, DType dtype, std::byte* out) {
  if (dtype == DType::kF32) {
    std::memcpy(out, &value, sizeof(value));
    return;
  }
  const uint16_t bits = dtype == DType::kBF16 ? to_bf16(value).bits : to_f16(value).bits;
  std::memcpy(out, &bits, sizeof(bits));
}

}  // namespace

std::vector<std::byte> dummy_values(std::string_view name, DType dtype, float mean, float stddev,
                                    const DummySlice& slice) {
  const size_t each = static_cast<size_t>(dtype_bytes(dtype, 1));
  std::vector<std::byte> out(static_cast<size_t>(slice.rows * slice.cols) * each);
  const uint64_t key = hash_name(name);
  std::byte* at = out.data();
  for (int64_t row = 0; row < slice.rows; ++row) {
    const int64_t first = (slice.row_begin + row) * slice.full_cols + slice.col_begin;
    for (int64_t col = 0; col < slice.cols; ++col) {
      const double normal = hash_normal(key, static_cast<uint64_t>(first + col));
      store(static_cast<float>(static_cast<double>(mean) + static_cast<double>(stddev) * normal),
            dtype, at);
      at += each;
    }
  }
  return out;
}

}  // namespace lmdeploy
