#include "serve/openai/chat_reply.h"

#include "base/clock.h"
#include "http/sse.h"
#include "serve/openai/reply_parts.h"

namespace lmdeploy {

namespace {

class ChatReply : public OutputHandler {
 public:
  ChatReply(const ModelHost& host, ResponseWriter response, ReplyOptions options, std::string id,
            int n, bool logprobs)
      : host_(host),
        response_(std::move(response)),
        options_(std::move(options)),
        id_(std::move(id)),
        logprobs_(logprobs),
        created_(unix_seconds()),
        state_(1, n) {}

 protected:
  void write_head(JsonWriter& json, std::string_view object) const {
    json.open('{').field("id", id_).field("object", object).field("created", created_);
    json.field("model", options_.model);
  }
  void write_logprobs(JsonWriter& json, const std::vector<TokenOutput>& tokens) const {
    json.key("logprobs");
    if (logprobs_) {
      write_chat_logprobs(json, host_, tokens);
    } else {
      json.null();
    }
  }

  const ModelHost& host_;
  const ResponseWriter response_;
  const ReplyOptions options_;
  const std::string id_;
  const bool logprobs_;
  const int64_t created_;
  ReplyState state_;
};

class WholeChatReply final : public ChatReply {
 public:
  using ChatReply::ChatReply;
  void on_start() override {}
  void on_output(size_t index, GenerateOutput&& output) override {
    state_.add(index, output, true);
  }

  void on_end() override {
    if (const auto error = failure_of(state_.choices())) return send_error(response_, *error);
    std::string body;
    JsonWriter json(body);
    write_head(json, "chat.completion");
    json.key("choices").open('[');
    for (size_t i = 0; i < state_.choices().size(); ++i) write_choice(json, i, state_.choices()[i]);
    json.close(']').key("usage");
    write_usage(json, state_.usage());
    json.close('}');
    response_.send_json(200, std::move(body));
  }

 private:
  void write_choice(JsonWriter& json, size_t index, const ChoiceReply& choice) const {
    json.open('{').field("index", static_cast<int64_t>(index)).key("message").open('{');
    json.field("role", "assistant").field("content", choice.text);
    if (options_.return_token_ids) {
      json.key("gen_tokens");
      write_token_ids(json, choice.tokens);
    }
    json.close('}');
    write_logprobs(json, choice.tokens);
    json.field("finish_reason", finish_reason_name(*choice.finish)).close('}');
  }
};

class StreamedChatReply final : public ChatReply {
 public:
  using ChatReply::ChatReply;

  void on_start() override {
    response_.add_header("Cache-Control", "no-cache");
    response_.start_stream(200, kSseContentType);
    for (size_t i = 0; i < state_.choices().size(); ++i) {
      write_chunk(i, {},
                  [](JsonWriter& json) { json.field("role", "assistant").field("content", ""); });
    }
  }

  void on_output(size_t index, GenerateOutput&& output) override {
    const size_t choice = state_.add(index, output, false);
    if (output.text.empty() && !output.finish && !logprobs_ && !options_.return_token_ids) return;
    write_chunk(choice, output, [&](JsonWriter& json) {
      if (!output.text.empty() || output.finish) json.field("content", output.text);
      if (options_.return_token_ids) {
        json.key("gen_tokens");
        write_token_ids(json, output.tokens);
      }
    });
  }

  void on_end() override {
    std::string out;
    if (const auto error = failure_of(state_.choices())) {
      append_sse_event(out, error_json(*error));
    } else if (options_.include_usage) {
      std::string body;
      JsonWriter json(body);
      write_head(json, "chat.completion.chunk");
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
  template <class Delta>
  void write_chunk(size_t choice, const GenerateOutput& output, Delta write_delta) const {
    std::string event = "data: ";
    JsonWriter json(event);
    write_head(json, "chat.completion.chunk");
    json.key("choices").open('[').open('{').field("index", static_cast<int64_t>(choice));
    json.key("delta").open('{');
    write_delta(json);
    json.close('}');
    if (logprobs_ && !output.tokens.empty()) {
      write_logprobs(json, output.tokens);
    } else {
      json.key("logprobs").null();
    }
    json.key("finish_reason");
    output.finish ? json.string(finish_reason_name(*output.finish)) : json.null();
    json.close('}').close(']');
    if (options_.include_usage) json.key("usage").null();
    json.close('}');
    event += "\n\n";
    response_.write(event);
  }
};

}  // namespace

std::unique_ptr<OutputHandler> make_chat_reply(const ModelHost& host, ResponseWriter response,
                                               ReplyOptions options, std::string id, int n,
                                               bool logprobs) {
  if (options.stream) {
    return std::make_unique<StreamedChatReply>(host, std::move(response), std::move(options),
                                               std::move(id), n, logprobs);
  }
  return std::make_unique<WholeChatReply>(host, std::move(response), std::move(options),
                                          std::move(id), n, logprobs);
}

}  // namespace lmdeploy
