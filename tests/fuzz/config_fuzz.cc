// Any text as config.json and generation_config.json: a classic config or problems.
#include "tests/fuzz/checkpoint_fuzz.h"

#include "base/check.h"
#include "base/json.h"
#include "checkpoint/generation_config.h"
#include "checkpoint/hf_config.h"
#include "checkpoint/quantization.h"

namespace lmdeploy {

void fuzz_config(std::span<const uint8_t> input) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  auto value = parse_json(text, "fuzz");
  if (!value.ok() || !value->is_object()) return;
  const json::object raw = value->get_object();
  bool multimodal = false;
  ProblemList problems;
  const json::object config = classic_config(raw, multimodal, problems);
  if (problems.empty()) CHECK(config.at("architectures").as_array().size() == 1);
  read_generation_defaults(raw, config, problems);
  const auto quantization = read_quantization(config, "fuzz");
  const StatusCode code = quantization.status().code();
  CHECK(code == StatusCode::kOk || code == StatusCode::kUnsupported ||
            code == StatusCode::kInvalidArgument,
        "{}", quantization.status().message());
}

}  // namespace lmdeploy

#ifdef LMDEPLOY_LIBFUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lmdeploy::fuzz_config({data, size});
  return 0;
}
#endif
