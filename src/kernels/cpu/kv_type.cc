#include "kernels/cpu/kv_type.h"

#include "base/check.h"

namespace lmdeploy::cpu {

KvType kv_type(DType dtype) {
  switch (dtype) {
    case DType::kF32: return KvType::kF32;
    case DType::kF16: return KvType::kF16;
    case DType::kBF16: return KvType::kBF16;
    default: CHECK(false, "KV cache of type {}; the CPU has f32, f16 and bf16", dtype_name(dtype));
  }
}

}  // namespace lmdeploy::cpu
