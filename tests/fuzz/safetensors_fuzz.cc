// Any bytes as a safetensors file: parsed tensors, and scales of fp8, lie inside the file.
#include "tests/fuzz/checkpoint_fuzz.h"

#include "base/check.h"
#include "checkpoint/fp8_scales.h"
#include "checkpoint/safetensors.h"

namespace lmdeploy {

namespace {

// Blocks that cover `extent` elements.
int64_t covering(int64_t extent, int64_t block) { return extent / block + (extent % block != 0); }

void check_fp8(const std::vector<StoredTensor>& stored, const std::optional<BlockShape>& block,
               std::span<const std::byte> file) {
  std::map<std::string, TensorRecord, std::less<>> tensors;
  for (const StoredTensor& tensor : stored) {
    tensors.emplace(tensor.name, TensorRecord{tensor.name, tensor.name, tensor.dtype, tensor.shape,
                                              tensor.data, tensor.bytes});
  }
  ProblemList problems;
  attach_fp8_scales(block, tensors, problems);
  if (!problems.empty()) return;
  for (const auto& [name, matrix] : tensors) {
    if (matrix.dtype != DType::kF8E4M3) continue;
    const BlockScales& scales = matrix.scales;
    CHECK(scales.across == covering(matrix.shape[1], scales.columns));
    const int64_t count = covering(matrix.shape[0], scales.rows) * scales.across;
    CHECK(scales.data >= file.data() &&
          scales.data + dtype_bytes(scales.dtype, count) <= file.data() + file.size());
  }
}

}  // namespace

void fuzz_safetensors(std::span<const uint8_t> input) {
  const auto result = parse_safetensors(std::as_bytes(input), "fuzz");
  if (!result.ok()) return;
  const auto* begin = reinterpret_cast<const std::byte*>(input.data());
  for (const StoredTensor& tensor : *result) {
    CHECK(tensor.data >= begin && tensor.data + tensor.bytes <= begin + input.size());
    CHECK(static_cast<int64_t>(tensor.bytes) == dtype_bytes(tensor.dtype, tensor.shape.numel()));
  }
  check_fp8(*result, std::nullopt, std::as_bytes(input));
  check_fp8(*result, {{128, 128}}, std::as_bytes(input));
}

}  // namespace lmdeploy

#ifdef LMDEPLOY_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lmdeploy::fuzz_safetensors({data, size});
  return 0;
}
#endif
