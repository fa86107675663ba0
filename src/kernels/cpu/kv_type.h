// KvType: the element types that CPU attention reads from and writes to the pages.
#pragma once

#include "base/check.h"
#include "tensor/dtype.h"

namespace lmdeploy::cpu {

enum class KvType : uint8_t { kF32, kF16, kBF16 };

inline KvType kv_type(DType dtype) {
  switch (dtype) {
    case DType::kF32: return KvType::kF32;
    case DType::kF16: return KvType::kF16;
    case DType::kBF16: return KvType::kBF16;
    default: CHECK(false, "KV cache of type {}; the CPU has f32, f16 and bf16", dtype_name(dtype));
  }
}

}  // namespace lmdeploy::cpu
