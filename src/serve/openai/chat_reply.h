// The answer of POST /v1/chat/completions, streamed or whole.
#pragma once

#include <memory>

#include "http/response.h"
#include "serve/generation.h"
#include "serve/openai/sampling_fields.h"

namespace lmdeploy {

// `id`: "chatcmpl-..."; `n` choices; `logprobs`: write them. `host` outlives the handler.
std::unique_ptr<OutputHandler> make_chat_reply(const ModelHost& host, ResponseWriter response,
                                               ReplyOptions options, std::string id, int n,
                                               bool logprobs);

}  // namespace lmdeploy
