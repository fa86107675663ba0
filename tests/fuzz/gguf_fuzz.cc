// Any bytes as a GGUF file: parsed tensors lie inside the file, and its metadata can be translated.
#include "tests/fuzz/checkpoint_fuzz.h"

#include "base/check.h"
#include "checkpoint/gguf_architecture.h"
#include "checkpoint/gguf_file.h"

namespace lmdeploy {

void fuzz_gguf(std::span<const uint8_t> input) {
  const auto result = parse_gguf(std::as_bytes(input), "fuzz");
  if (!result.ok()) return;
  const auto* begin = reinterpret_cast<const std::byte*>(input.data());
  for (const GgufTensor& tensor : result->tensors) {
    CHECK(tensor.data >= begin && tensor.data + tensor.bytes <= begin + input.size());
  }
  ProblemList problems;
  result->metadata.strings("tokenizer.ggml.tokens", problems);
  result->metadata.integers("tokenizer.ggml.token_type", problems);
  result->metadata.floats("tokenizer.ggml.scores", problems);
  const auto name = result->metadata.string("general.architecture", problems);
  const auto architecture = find_gguf_architecture(name.value_or("llama"));
  if (!architecture.ok()) return;
  gguf_config(**architecture, *result, problems);
  for (const GgufTensor& tensor : result->tensors) {
    gguf_baked(**architecture, hf_tensor_name(**architecture, tensor.name));
  }
}

}  // namespace lmdeploy

#ifdef LMDEPLOY_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lmdeploy::fuzz_gguf({data, size});
  return 0;
}
#endif
