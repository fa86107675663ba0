// What chat completions and completions write alike: usage, logprobs, choices as they grow.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/request.h"
#include "serve/api_error.h"
#include "serve/json_writer.h"
#include "serve/model_host.h"

namespace lmdeploy {

// Token counts of a call. A prompt counts once, whatever its n.
struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t completion_tokens = 0;
};
void write_usage(JsonWriter& json, const Usage& usage);

// One choice, as far as it has come.
struct ChoiceReply {
  std::string text;
  std::vector<TokenOutput> tokens;
  std::optional<FinishReason> finish;
  int64_t generated_tokens = 0;
  std::string error;
};

// Keeps the choices of a call's requests and its usage, from their outputs.
class ReplyState {
 public:
  // `n` choices for each of `requests` requests; choice c of request r has index r * n + c.
  ReplyState(size_t requests, int n);
  // Counts `output` and returns its choice's index. `keep`: its text and tokens are kept as well
  // (they are needed once more, at the end).
  size_t add(size_t request, GenerateOutput& output, bool keep);

  std::vector<ChoiceReply>& choices() { return choices_; }
  Usage usage() const;

 private:
  struct Prompt {
    int64_t tokens = 0;
    int64_t cached = 0;
  };
  int n_;
  std::vector<Prompt> prompts_;
  std::vector<ChoiceReply> choices_;
};

// The first choice that failed (finish kError) or was cut off by the server (kAbort), as an error.
std::optional<ApiError> failure_of(const std::vector<ChoiceReply>& choices);

// {"content": [{"token", "logprob", "bytes", "top_logprobs": [...]}]}
void write_chat_logprobs(JsonWriter& json, const ModelHost& host,
                         const std::vector<TokenOutput>& tokens);

// {"tokens", "token_logprobs", "top_logprobs", "text_offset"}. `offset`: characters (code points)
// before the first token; moved on. A logprob of NaN (the prompt's first token) is null.
void write_completion_logprobs(JsonWriter& json, const ModelHost& host,
                               const std::vector<TokenOutput>& tokens, int64_t& offset);

// [1, 2, 3]
void write_token_ids(JsonWriter& json, const std::vector<TokenOutput>& tokens);

}  // namespace lmdeploy
