// One input of the Jinja fuzzer: any bytes as a template, rendered with a small conversation. Must
// return, whatever the bytes; sanitizers watch the rest. With -fsanitize=fuzzer this is a libFuzzer
// target; tests/text/jinja/fuzz_test.cc runs it over mutated real templates.
#include "text/jinja/template.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lmdeploy;
  const std::string source =
      utf8_replace_invalid({reinterpret_cast<const char*>(data), size});
  jinja::Limits limits;
  limits.max_steps = 100'000;
  limits.max_output_bytes = size_t{1} << 20;
  limits.max_memory_bytes = size_t{16} << 20;
  limits.max_seconds = 2;
  const Result<jinja::Template> parsed = jinja::Template::parse(source, limits);
  if (!parsed.ok()) return 0;
  static const json::value kMessages = parse_json(
      R"([{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "é"}]},
          {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f",
           "arguments": {"a": [1, 2.5, true, null]}}}]}, {"role": "tool", "content": "r"}])",
      "messages").value();
  const auto messages = jinja::Value::from_json(kMessages);
  const Result<std::string> text = parsed->render(
      {{"messages", messages}, {"tools", messages}, {"add_generation_prompt", jinja::Value::boolean(true)},
       {"bos_token", jinja::Value::string("<s>")}, {"eos_token", jinja::Value::string("</s>")}});
  return text.ok() && text->size() > limits.max_output_bytes ? 1 : 0;
}
