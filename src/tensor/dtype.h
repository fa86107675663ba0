// DType: element and block types of tensors in files and in memory.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace lmdeploy {

// The kQ* types are GGUF blocks (models.md 4.7): `block_elems` consecutive elements of a row in
// `block_bytes` bytes.
enum class DType : uint8_t {
  kF32, kF16, kBF16, kF64,
  kI64, kI32, kI16, kI8, kU8, kBool,
  kF8E4M3, kF8E5M2,
  kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0, kQ4_K, kQ5_K, kQ6_K,
};

struct DTypeInfo {
  const char* name;  // "f32", "q4_1"
  int block_elems;   // 1 for plain types
  int block_bytes;
};

const DTypeInfo& dtype_info(DType dtype);
inline const char* dtype_name(DType dtype) { return dtype_info(dtype).name; }
inline bool is_block_quantized(DType dtype) { return dtype_info(dtype).block_elems > 1; }
// f32, f16 or bf16: what is computed with.
inline bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

// Bytes of `elems` consecutive elements; elems must be a multiple of the block.
int64_t dtype_bytes(DType dtype, int64_t elems);

// bfloat16 and float16 as stored; arithmetic is done in float.
struct bf16 { uint16_t bits; };
struct f16 { uint16_t bits; };

inline float to_float(bf16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }
inline float to_float(float x) { return x; }
float to_float(f16 x);

// Round to nearest even; NaN stays NaN.
bf16 to_bf16(float x);
f16 to_f16(float x);

}  // namespace lmdeploy
