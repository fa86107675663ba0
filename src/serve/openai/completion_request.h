// The body of POST /v1/completions.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "serve/openai/sampling_fields.h"

namespace lmdeploy {

// Most prompts of one request, and most choices of all of them together.
inline constexpr size_t kMostPrompts = 256;
inline constexpr size_t kMostCompletions = 1024;

struct CompletionRequest {
  ReplyOptions reply;
  SamplingParams sampling;
  std::vector<std::variant<std::string, std::vector<int32_t>>> prompts;
  bool echo = false;
};

// Reads every field; errors stick to `fields`. max_tokens is 16 by default; null is the rest of the
// window; 0 scores the prompt alone and needs echo.
CompletionRequest read_completion_request(FieldReader& fields, const ModelFacts& facts);

}  // namespace lmdeploy
