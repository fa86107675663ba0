// Any bytes as the JSON body of chat completions and completions: parsed within bounds, or refused
// with a message. With -fsanitize=fuzzer this is a libFuzzer target.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "serve/openai/chat_request.h"
#include "serve/openai/completion_request.h"

namespace {

void check_sampling(const lmdeploy::SamplingParams& s, const lmdeploy::ModelFacts& facts) {
  CHECK(s.n >= 1 && s.n <= lmdeploy::kMostChoices && s.top_k >= 0);
  CHECK(s.temperature >= 0 && s.temperature <= 2 && s.top_p > 0 && s.top_p <= 1);
  CHECK(s.stop.size() <= lmdeploy::kMostStops + facts.chat_stops.size());
  CHECK(s.logprobs >= -1 && s.logprobs <= lmdeploy::kMostTopLogprobs);
  for (const auto& bias : s.logit_bias) CHECK(bias.token >= 0 && bias.token < facts.vocab_size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lmdeploy;
  const auto body = parse_json({reinterpret_cast<const char*>(data), size}, "body");
  if (!body.ok() || !body->is_object()) return 0;
  const ModelFacts facts{
      .session_len = 100, .vocab_size = 50, .sampling_defaults = {}, .chat_stops = {"x"}};
  FieldReader chat_fields(body->get_object());
  const ChatRequest chat = read_chat_request(chat_fields, facts);
  if (chat_fields.ok()) {
    check_sampling(chat.sampling, facts);
    CHECK(chat.raw_prompt || !chat.input.messages.empty());
  }
  FieldReader completion_fields(body->get_object());
  const CompletionRequest completion = read_completion_request(completion_fields, facts);
  if (completion_fields.ok()) {
    check_sampling(completion.sampling, facts);
    CHECK(!completion.prompts.empty() && completion.prompts.size() <= kMostPrompts);
  }
  for (const FieldReader* fields : {&chat_fields, &completion_fields}) {
    CHECK(fields->ok() || !fields->error().message.empty());
  }
  return 0;
}
