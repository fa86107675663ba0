#include "serve/openai/reply_parts.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/utf8.h"

namespace lmdeploy {

void write_usage(JsonWriter& json, const Usage& usage) {
  json.open('{').field("prompt_tokens", usage.prompt_tokens);
  json.field("total_tokens", usage.prompt_tokens + usage.completion_tokens);
  json.field("completion_tokens", usage.completion_tokens);
  json.key("prompt_tokens_details").open('{').field("cached_tokens", usage.cached_tokens);
  json.close('}').close('}');
}

ReplyState::ReplyState(size_t requests, int n)
    : n_(n), prompts_(requests), choices_(requests * static_cast<size_t>(n)) {}

size_t ReplyState::add(size_t request, GenerateOutput& output, bool keep) {
  prompts_[request] = {output.prompt_tokens, output.cached_tokens};
  const size_t index = request * static_cast<size_t>(n_) + static_cast<size_t>(output.choice);
  ChoiceReply& choice = choices_[index];
  choice.generated_tokens = output.generated_tokens;
  choice.finish = output.finish;
  if (!output.error.empty()) choice.error = output.error;
  if (keep) {
    choice.text += output.text;
    for (TokenOutput& token : output.tokens) choice.tokens.push_back(std::move(token));
  }
  return index;
}

Usage ReplyState::usage() const {
  Usage usage;
  for (const Prompt& prompt : prompts_) {
    usage.prompt_tokens += prompt.tokens;
    usage.cached_tokens += prompt.cached;
  }
  for (const ChoiceReply& choice : choices_) usage.completion_tokens += choice.generated_tokens;
  return usage;
}

std::optional<ApiError> failure_of(const std::vector<ChoiceReply>& choices) {
  for (const ChoiceReply& choice : choices) {
    if (choice.finish == FinishReason::kError) return ApiError{500, choice.error};
    if (choice.finish == FinishReason::kAbort) {
      return ApiError{503, "the server stopped this request; it is shutting down"};
    }
  }
  return std::nullopt;
}

namespace {

void write_chat_token(JsonWriter& json, const ModelHost& host, int32_t id, float logprob) {
  json.field("token", host.token_text(id)).key("logprob").number(logprob).key("bytes").open('[');
  for (const char c : host.token_bytes(id)) json.integer(static_cast<unsigned char>(c));
  json.close(']');
}

std::string completion_token(const ModelHost& host, int32_t id) {
  const std::string bytes = host.token_bytes(id);
  if (utf8_valid(bytes)) return host.token_text(id);
  std::string out = "bytes:";
  for (const char c : bytes) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return out;
}

// Names are those of the first, since an object has each name once.
void write_top(JsonWriter& json, const ModelHost& host, const std::vector<TokenLogprob>& tops) {
  std::set<std::string> written;
  json.open('{');
  for (const TokenLogprob& top : tops) {
    const std::string token = completion_token(host, top.token);
    if (written.insert(token).second) json.key(token).number(top.logprob);
  }
  json.close('}');
}

}  // namespace

void write_chat_logprobs(JsonWriter& json, const ModelHost& host,
                         const std::vector<TokenOutput>& tokens) {
  json.open('{').key("content").open('[');
  for (const TokenOutput& token : tokens) {
    json.open('{');
    write_chat_token(json, host, token.id, token.logprob);
    json.key("top_logprobs").open('[');
    for (const TokenLogprob& top : token.top) {
      json.open('{');
      write_chat_token(json, host, top.token, top.logprob);
      json.close('}');
    }
    json.close(']').close('}');
  }
  json.close(']').close('}');
}

int64_t TextOffset::advance(std::string_view bytes) {
  const auto spelled = [&](std::string_view text) { return echo_.starts_with(text); };
  if (characters_ == 0 && partial_.empty() && !echo_.empty() && !spelled(bytes)) {
    if (bytes.starts_with(' ') && spelled(bytes.substr(1))) {
      bytes.remove_prefix(1);
    } else if (std::exchange(first_, false)) {
      return 0;
    }
  }
  first_ = false;
  const int64_t begin = characters_;
  partial_ += bytes;
  std::string_view rest = partial_;
  while (!rest.empty() && !utf8_incomplete(rest)) {
    rest.remove_prefix(std::max<size_t>(1, utf8_sequence_length(rest)));
    ++characters_;
  }
  partial_.erase(0, partial_.size() - rest.size());
  return begin;
}

void write_completion_logprobs(JsonWriter& json, const ModelHost& host,
                               const std::vector<TokenOutput>& tokens, TextOffset& offset) {
  json.open('{').key("tokens").open('[');
  for (const TokenOutput& token : tokens) json.string(completion_token(host, token.id));
  json.close(']').key("token_logprobs").open('[');
  for (const TokenOutput& token : tokens) json.number(token.logprob);
  json.close(']').key("top_logprobs").open('[');
  for (const TokenOutput& token : tokens) {
    std::isnan(token.logprob) ? void(json.null()) : write_top(json, host, token.top);
  }
  json.close(']').key("text_offset").open('[');
  for (const TokenOutput& token : tokens) json.integer(offset.advance(host.token_bytes(token.id)));
  json.close(']').close('}');
}

void write_finish(JsonWriter& json, std::optional<FinishReason> finish) {
  json.key("finish_reason");
  finish ? json.string(finish_reason_name(*finish)) : json.null();
}

void write_token_ids(JsonWriter& json, const std::vector<TokenOutput>& tokens) {
  json.open('[');
  for (const TokenOutput& token : tokens) json.integer(token.id);
  json.close(']');
}

}  // namespace lmdeploy
