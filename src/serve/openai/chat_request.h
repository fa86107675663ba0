// The body of POST /v1/chat/completions.
#pragma once

#include <optional>
#include <string>

#include "serve/openai/sampling_fields.h"

namespace lmdeploy {

struct ChatRequest {
  ReplyOptions reply;
  SamplingParams sampling;
  ChatInput input;                        // when `raw_prompt` is absent
  std::optional<std::string> raw_prompt;  // "messages" was a string: no template
};

// Reads every field; errors stick to `fields`.
//
// Messages are checked and passed on whole, unknown members included, since templates may use them.
// A last message of the assistant is continued.
ChatRequest read_chat_request(FieldReader& fields, const ModelFacts& facts);

}  // namespace lmdeploy
