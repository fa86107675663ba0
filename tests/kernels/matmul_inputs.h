// Random weights in every format, and the pieces that the matmul tests compare with.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/cpu/dequant.h"
#include "kernels/cpu/packed_layout.h"
#include "kernels/matmul.h"

namespace lmdeploy::test {

inline const std::vector<DType> kBlockFormats = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                                                 DType::kQ8_0, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};
inline const std::vector<DType> kPlainFormats = {DType::kF32, DType::kF16, DType::kBF16};

// A weight as a file stores it.
struct FileWeight {
  DType format;
  int64_t rows, k;
  std::vector<std::byte> data;

  size_t row_bytes() const { return static_cast<size_t>(dtype_bytes(format, k)); }
  RowSource source() const { return {format, rows, k, data.data(), row_bytes(), {}}; }
  std::vector<float> row(int64_t r) const {
    std::vector<float> values(static_cast<size_t>(k));
    cpu::dequantize_row(format, data.data() + static_cast<size_t>(r) * row_bytes(), k, values.data());
    return values;
  }
};

inline void put(std::byte* to, const auto& value) { std::memcpy(to, &value, sizeof(value)); }

// Random codes and sub-scales; block scales around 0.02, the sign of some negative.
inline FileWeight random_weight(DType format, int64_t rows, int64_t k, uint64_t seed) {
  FileWeight w{format, rows, k, {}};
  w.data.resize(static_cast<size_t>(rows) * w.row_bytes());
  const DTypeInfo& info = dtype_info(format);
  if (!is_block_quantized(format)) {
    for (int64_t i = 0; i < rows * k; ++i) {
      const float value = static_cast<float>(0.05 * hash_normal(seed, static_cast<uint64_t>(i)));
      std::byte* to = w.data.data() + i * info.block_bytes;
      if (format == DType::kF32) put(to, value);
      if (format == DType::kF16) put(to, to_f16(value));
      if (format == DType::kBF16) put(to, to_bf16(value));
    }
    return w;
  }
  for (size_t i = 0; i < w.data.size(); ++i) w.data[i] = static_cast<std::byte>(hash_random(seed, i) & 255);
  const auto block_bytes = static_cast<size_t>(info.block_bytes);
  for (size_t at = 0; at < w.data.size(); at += block_bytes) {
    const f16 d = to_f16(static_cast<float>(0.02 * hash_normal(seed + 1, 2 * at)));
    const f16 min = to_f16(static_cast<float>(0.05 * hash_normal(seed + 1, 2 * at + 1)));
    const bool last = format == DType::kQ6_K;
    put(w.data.data() + at + (last ? block_bytes - 2 : 0), d);
    if (cpu::has_min(format)) put(w.data.data() + at + 2, min);
  }
  return w;
}

// Rows of different size, with outliers, as hidden states have them.
inline std::vector<float> random_rows(int64_t rows, int64_t stride, uint64_t seed) {
  std::vector<float> x(static_cast<size_t>(rows * stride));
  for (size_t i = 0; i < x.size(); ++i) {
    const double spread = hash_random(seed + 7, i) % 97 == 0 ? 20.0 : 1.0;
    x[i] = static_cast<float>(spread * hash_normal(seed, i));
  }
  return x;
}

// A CPU stream of the named instruction set and its scratch memory.
struct CpuContext {
  explicit CpuContext(const std::string& isa, int threads = 2, bool batch_invariant = true)
      : stream(threads, CpuIsa::named(isa).value()),
        scratch(Device{}),
        ctx{stream, scratch, batch_invariant} {}
  CpuStream stream;
  Arena scratch;
  Ctx ctx;
};

inline TensorView view(std::vector<float>& values, int64_t rows, int64_t columns, int64_t stride) {
  return TensorView(values.data(), DType::kF32, Shape{rows, stride}).columns(0, columns);
}

}  // namespace lmdeploy::test
