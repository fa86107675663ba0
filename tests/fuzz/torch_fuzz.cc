// Any bytes as a torch file: parsed tensors lie inside the file.
#include "tests/fuzz/checkpoint_fuzz.h"

#include "base/check.h"
#include "checkpoint/torch_file.h"

namespace lmdeploy {

void fuzz_torch(std::span<const uint8_t> input) {
  const auto result = parse_torch_file(std::as_bytes(input), "fuzz");
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
  lmdeploy::fuzz_torch({data, size});
  return 0;
}
#endif
