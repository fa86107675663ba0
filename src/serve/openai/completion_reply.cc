#include "serve/openai/completion_reply.h"

#include "base/clock.h"
#include "http/sse.h"
#include "serve/openai/reply_parts.h"

namespace lmdeploy {

namespace {

// Logprobs and echoed text of a prompt come with the first output of its choice 0, and belong in
// front of every choice.
class CompletionReply : public OutputHandler {
 public:
  CompletionReply(const ModelHost& host, ResponseWriter response, size_t prompts,
                  CompletionReplyOptions options)
      : host_(host),
        response_(std::move(response)),
        options_(std::move(options)),
        created_(unix_seconds()),
        state_(prompts, options_.n),
        prompt_tokens_(prompts),
        offsets_(state_.choices().size(), 0) {}

 protected:
  size_t prompt_of(size_t choice) const { return choice / static_cast<size_t>(options_.n); }
  bool echo() const { return !options_.echo.empty(); }

  void write_head(JsonWriter& json) const {
    json.open('{').field("id", options_.id).field("object", "text_completion");
    json.field("created", created_).field("model", options_.reply.model);
  }
  void write_logprobs(JsonWriter& json, size_t choice, const std::vector<TokenOutput>& tokens) {
    json.key("logprobs");
    if (options_.logprobs) {
      write_completion_logprobs(json, host_, tokens, offsets_[choice]);
    } else {
      json.null();
    }
  }

  const ModelHost& host_;
  const ResponseWriter response_;
  const CompletionReplyOptions options_;
  const int64_t created_;
  ReplyState state_;
  std::vector<std::vector<TokenOutput>> prompt_tokens_;
  std::vector<int64_t> offsets_;  // characters of each choice that have logprobs already
};

class WholeCompletionReply final : public CompletionReply {
 public:
  using CompletionReply::CompletionReply;
  void on_start() override {}

  void on_output(size_t index, GenerateOutput&& output) override {
    if (!output.prompt_logprobs.empty()) prompt_tokens_[index] = std::move(output.prompt_logprobs);
    state_.add(index, output, true);
  }

  void on_end() override {
    if (const auto error = failure_of(state_.choices())) return send_error(response_, *error);
    std::string body;
    JsonWriter json(body);
    write_head(json);
    json.key("choices").open('[');
    for (size_t i = 0; i < state_.choices().size(); ++i) write_choice(json, i, state_.choices()[i]);
    json.close(']').key("usage");
    write_usage(json, state_.usage());
    json.close('}');
    response_.send_json(200, std::move(body));
  }

 private:
  void write_choice(JsonWriter& json, size_t index, const ChoiceReply& choice) {
    const size_t prompt = prompt_of(index);
    json.open('{').field("index", static_cast<int64_t>(index));
    json.field("text", (echo() ? options_.echo[prompt] : std::string()) + choice.text);
    std::vector<TokenOutput> tokens = prompt_tokens_[prompt];
    tokens.insert(tokens.end(), choice.tokens.begin(), choice.tokens.end());
    write_logprobs(json, index, tokens);
    json.field("finish_reason", finish_reason_name(*choice.finish));
    if (options_.reply.return_token_ids) {
      json.key("gen_tokens");
      write_token_ids(json, choice.tokens);
    }
    json.close('}');
  }
};

class StreamedCompletionReply final : public CompletionReply {
 public:
  using CompletionReply::CompletionReply;

  void on_start() override {
    response_.add_header("Cache-Control", "no-cache");
    response_.start_stream(200, kSseContentType);
    if (!echo() || options_.logprobs) return;
    for (size_t i = 0; i < state_.choices().size(); ++i) {
      write_chunk(i, options_.echo[prompt_of(i)], {}, {});
    }
  }

  void on_output(size_t index, GenerateOutput&& output) override {
    const size_t choice = state_.add(index, output, false);
    if (echo() && options_.logprobs && !output.prompt_logprobs.empty()) {
      for (size_t i = index * static_cast<size_t>(options_.n);
           i < (index + 1) * static_cast<size_t>(options_.n); ++i) {
        write_chunk(i, options_.echo[index], output.prompt_logprobs, {});
      }
    }
    if (output.text.empty() && !output.finish && !options_.logprobs) return;
    write_chunk(choice, output.text, output.tokens, output.finish);
  }

  void on_end() override {
    std::string out;
    if (const auto error = failure_of(state_.choices())) {
      append_sse_event(out, error_json(*error));
    } else if (options_.reply.include_usage) {
      std::string body;
      JsonWriter json(body);
      write_head(json);
      json.key("choices").open('[').close(']').key("usage");
      write_usage(json, state_.usage());
      json.close('}');
      append_sse_event(out, body);
    }
    out += kSseDone;
    response_.write(out);
    response_.finish();
  }

 private:
  void write_chunk(size_t choice, std::string_view text, const std::vector<TokenOutput>& tokens,
                   std::optional<FinishReason> finish) {
    std::string event = "data: ";
    JsonWriter json(event);
    write_head(json);
    json.key("choices").open('[').open('{').field("index", static_cast<int64_t>(choice));
    json.field("text", text);
    write_logprobs(json, choice, tokens);
    json.key("finish_reason");
    finish ? json.string(finish_reason_name(*finish)) : json.null();
    if (options_.reply.return_token_ids) {
      json.key("gen_tokens");
      write_token_ids(json, tokens);
    }
    json.close('}').close(']');
    if (options_.reply.include_usage) json.key("usage").null();
    json.close('}');
    event += "\n\n";
    response_.write(event);
  }
};

}  // namespace

std::unique_ptr<OutputHandler> make_completion_reply(const ModelHost& host, ResponseWriter response,
                                                     size_t prompts,
                                                     CompletionReplyOptions options) {
  if (options.reply.stream) {
    return std::make_unique<StreamedCompletionReply>(host, std::move(response), prompts,
                                                     std::move(options));
  }
  return std::make_unique<WholeCompletionReply>(host, std::move(response), prompts,
                                                std::move(options));
}

}  // namespace lmdeploy
