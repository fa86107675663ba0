// What chat completions and completions write alike: usage, logprobs, choices as they grow.
#pragma once

#include <optional>
#include <string>
#include <string_view>
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

  const std::vector<ChoiceReply>& choices() const { return choices_; }
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

// Where a choice's tokens begin in its text, in code points.
class TextOffset {
 public:
  // `echo`: what the first tokens spell, where that is known. It lacks the BOS that the tokenizer
  // added, and the blank that it puts in front of a text. Borrowed.
  explicit TextOffset(std::string_view echo) : echo_(echo) {}
  // Of the next token, which stands for `bytes`. A token that begins inside a character has the
  // offset of that character.
  int64_t advance(std::string_view bytes);

 private:
  std::string_view echo_;
  bool first_ = true;
  int64_t characters_ = 0;
  std::string partial_;  // bytes of a character that is not complete
};

// {"tokens", "token_logprobs", "top_logprobs", "text_offset"}. A token of bytes that are no text by
// themselves is spelled as OpenAI does: "bytes:\xe2\x82". A logprob of NaN (the prompt's first token)
// is null.
void write_completion_logprobs(JsonWriter& json, const ModelHost& host,
                               const std::vector<TokenOutput>& tokens, TextOffset& offset);

// "finish_reason"; null while there is none.
void write_finish(JsonWriter& json, std::optional<FinishReason> finish);

// [1, 2, 3]
void write_token_ids(JsonWriter& json, const std::vector<TokenOutput>& tokens);

}  // namespace lmdeploy
