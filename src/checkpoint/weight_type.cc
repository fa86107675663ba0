#include "checkpoint/weight_type.h"

#include <algorithm>
#include <array>

namespace lmdeploy {

DType configured_weight_type(const json::object& config) {
  const json::value* name = find(config, "torch_dtype");
  if (name != nullptr && name->is_string()) {
    if (name->as_string() == "float32") return DType::kF32;
    if (name->as_string() == "float16") return DType::kF16;
  }
  return DType::kBF16;
}

DType stored_weight_type(const Checkpoint& checkpoint) {
  struct Share {
    DType dtype;
    size_t bytes;
  };
  std::array<Share, 3> shares = {{{DType::kBF16, 0}, {DType::kF16, 0}, {DType::kF32, 0}}};
  for (const auto& [name, record] : checkpoint.tensors()) {
    if (is_block_quantized(record.dtype)) return DType::kBF16;
    if (record.shape.rank() < 2) continue;  // norms and biases are f32 in many a 16-bit file
    for (Share& share : shares) {
      if (share.dtype == record.loaded_dtype()) share.bytes += record.bytes;
    }
  }
  const TensorRecord* embedding = checkpoint.find("model.embed_tokens.weight");
  if (embedding != nullptr && is_float(embedding->dtype)) return embedding->dtype;
  const Share most = *std::ranges::max_element(shares, {}, &Share::bytes);
  return most.bytes > 0 ? most.dtype : configured_weight_type(checkpoint.config());
}

}  // namespace lmdeploy
