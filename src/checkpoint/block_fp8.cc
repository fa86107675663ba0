#include "checkpoint/block_fp8.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace lmdeploy {

namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kScales = ".weight_scale_inv";
constexpr int64_t kMaxBlock = 65536;

// The values of the 256 codes: a sign, four bits of exponent (bias 7), three of mantissa. No
// infinity; the largest code of either sign is NaN.
const std::array<float, 256>& e4m3_values() {
  static const std::array<float, 256> kValues = [] {
    std::array<float, 256> values{};
    for (int code = 0; code < 256; ++code) {
      const int exponent = code >> 3 & 15, mantissa = code & 7;
      float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                  : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
      if ((code & 0x7F) == 0x7F) value = std::numeric_limits<float>::quiet_NaN();
      values[static_cast<size_t>(code)] = code < 128 ? value : -value;
    }
    return values;
  }();
  return kValues;
}

const json::object* quantization_of(const json::object& config) {
  const json::value* value = find(config, "quantization_config");
  return value == nullptr ? nullptr : value->if_object();
}

int64_t blocks_of(int64_t extent, int64_t block) { return (extent + block - 1) / block; }

// [rows, columns] of a block; nullopt: the configuration does not say.
std::optional<std::array<int64_t, 2>> block_shape(const json::object& config) {
  const json::value* value = find(*quantization_of(config), "weight_block_size");
  const json::array* sizes = value == nullptr ? nullptr : value->if_array();
  if (sizes == nullptr || sizes->size() != 2) return std::nullopt;
  std::array<int64_t, 2> shape{};
  for (size_t i = 0; i < 2; ++i) {
    const int64_t* size = (*sizes)[i].if_int64();
    if (size == nullptr || *size < 1 || *size > kMaxBlock) return std::nullopt;
    shape[i] = *size;
  }
  return shape;
}

}  // namespace

bool has_block_fp8(const json::object& config) {
  const json::object* quantization = quantization_of(config);
  const json::value* method =
      quantization == nullptr ? nullptr : find(*quantization, "quant_method");
  return method != nullptr && method->is_string() && method->get_string() == "fp8";
}

void attach_block_scales(const json::object& config,
                         std::map<std::string, TensorRecord, std::less<>>& tensors,
                         ProblemList& problems) {
  const std::optional<std::array<int64_t, 2>> block = block_shape(config);
  if (!block) {
    problems.add("fp8 weights need 'weight_block_size' [rows, columns] in quantization_config; one "
                 "scale for a whole tensor or row comes with a later version");
    return;
  }
  for (auto& [name, record] : tensors) {
    if (record.dtype != DType::kF8E4M3 || record.shape.rank() != 2) continue;
    const bool named = name.ends_with(kWeight);
    const std::string scales_name =
        named ? name.substr(0, name.size() - kWeight.size()) + std::string(kScales) : name;
    const auto scales = tensors.find(scales_name);
    const Shape expected{blocks_of(record.shape[0], (*block)[0]),
                         blocks_of(record.shape[1], (*block)[1])};
    if (!named || scales == tensors.end()) {
      problems.add("tensor '{}' is fp8 and has no scales ('NAME.weight_scale_inv')", name);
      continue;
    }
    if (scales->second.dtype != DType::kF32 || !(scales->second.shape == expected)) {
      problems.add("tensor '{}' is {} {}; expected f32 {}, a scale for each block of {} x {}",
                   scales_name, dtype_name(scales->second.dtype),
                   scales->second.shape.to_string(), expected.to_string(), (*block)[0],
                   (*block)[1]);
      continue;
    }
    record.scales = {scales->second.data, (*block)[0], (*block)[1]};
    tensors.erase(scales);
  }
}

void dequantize_block_fp8(const TensorRecord& record, const MatrixPart& part, bf16* out) {
  const BlockScales& scales = record.scales;
  const int64_t columns = record.shape[1], blocks = blocks_of(columns, scales.columns);
  const int64_t row_end = part.row_begin + part.rows, col_end = part.col_begin + part.cols;
  std::array<bf16, 256> values;  // of one block's codes
  for (int64_t row = part.row_begin; row < row_end;) {
    const int64_t rows_end = std::min(row_end, (row / scales.rows + 1) * scales.rows);
    for (int64_t col = part.col_begin; col < col_end;) {
      const int64_t cols_end = std::min(col_end, (col / scales.columns + 1) * scales.columns);
      const int64_t block = row / scales.rows * blocks + col / scales.columns;
      float scale;
      std::memcpy(&scale, scales.data + static_cast<size_t>(block) * sizeof(float), sizeof(scale));
      for (size_t code = 0; code < values.size(); ++code) {
        values[code] = to_bf16(e4m3_values()[code] * scale);
      }
      for (int64_t r = row; r < rows_end; ++r) {
        const std::byte* codes = record.data + r * columns;
        bf16* to = out + (r - part.row_begin) * part.cols - part.col_begin;
        for (int64_t c = col; c < cols_end; ++c) to[c] = values[static_cast<size_t>(codes[c])];
      }
      col = cols_end;
    }
    row = rows_end;
  }
}

}  // namespace lmdeploy
