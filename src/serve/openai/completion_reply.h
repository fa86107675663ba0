// The answer of POST /v1/completions, streamed or whole.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "http/response.h"
#include "serve/generation.h"
#include "serve/openai/sampling_fields.h"

namespace lmdeploy {

struct CompletionReplyOptions {
  ReplyOptions reply;
  std::string id;  // "cmpl-..."
  int n = 1;       // choices of each prompt
  bool logprobs = false;
  std::vector<std::string> echo = {};  // text of each prompt, in front of its choices; or empty
};

// `host` outlives the handler.
std::unique_ptr<OutputHandler> make_completion_reply(const ModelHost& host, ResponseWriter response,
                                                     size_t prompts,
                                                     CompletionReplyOptions options);

}  // namespace lmdeploy
