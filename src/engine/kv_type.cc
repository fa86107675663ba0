#include "engine/kv_type.h"

#include "checkpoint/weight_type.h"

namespace lmdeploy {

DType cpu_kv_type(const std::string& dtype, const Checkpoint& checkpoint) {
  if (dtype == "float32") return DType::kF32;
  if (dtype == "float16") return DType::kF16;
  if (dtype == "bfloat16") return DType::kBF16;
  return stored_weight_type(checkpoint);
}

}  // namespace lmdeploy
