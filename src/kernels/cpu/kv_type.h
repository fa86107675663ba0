// KvType: the element types that CPU attention reads from and writes to the pages.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace lmdeploy::cpu {

enum class KvType : uint8_t { kF32, kF16, kBF16 };

// CHECKs that the CPU has it.
KvType kv_type(DType dtype);

}  // namespace lmdeploy::cpu
