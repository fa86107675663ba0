// Any bytes as a safetensors file: parsed tensors lie inside the file.
#include "tests/fuzz/checkpoint_fuzz.h"

#include "base/check.h"
#include "checkpoint/safetensors.h"

namespace lmdeploy {

void fuzz_safetensors(std::span<const uint8_t> input) {
  const auto result = parse_safetensors(std::as_bytes(input), "fuzz");
  if (!result.ok()) return;
  const auto* begin = reinterpret_cast<const std::byte*>(input.data());
  for (const StoredTensor& tensor : *result) {
    CHECK(tensor.data >= begin && tensor.data + tensor.bytes <= begin + input.size());
    CHECK(static_cast<int64_t>(tensor.bytes) == dtype_bytes(tensor.dtype, tensor.shape.numel()));
  }
}

}  // namespace lmdeploy

#ifdef LMDEPLOY_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lmdeploy::fuzz_safetensors({data, size});
  return 0;
}
#endif
