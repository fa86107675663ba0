#include "serve/openai/chat_reply.h"

#include "serve/openai/reply_writer.h"

namespace lmdeploy {

namespace {

class ChatReply : public OutputHandler {
 public:
  ChatReply(const ModelHost& host, ReplyWriter writer, int n, bool logprobs)
      : host_(host), writer_(std::move(writer)), logprobs_(logprobs), state_(1, n) {}

 protected:
  void write_token_ids_if_wanted(JsonWriter& json, const std::vector<TokenOutput>& tokens) const {
    if (!writer_.options().return_token_ids) return;
    json.key("gen_tokens");
    write_token_ids(json, tokens);
  }
  void write_logprobs(JsonWriter& json, bool wanted, const std::vector<TokenOutput>& tokens) const {
    json.key("logprobs");
    wanted ? write_chat_logprobs(json, host_, tokens) : void(json.null());
  }

  const ModelHost& host_;
  const ReplyWriter writer_;
  const bool logprobs_;
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
    writer_.send_whole(state_, [&](JsonWriter& json, size_t index, const ChoiceReply& choice) {
      json.open('{').field("index", static_cast<int64_t>(index)).key("message").open('{');
      json.field("role", "assistant").field("content", choice.text);
      write_token_ids_if_wanted(json, choice.tokens);
      json.close('}');
      write_logprobs(json, logprobs_, choice.tokens);
      json.field("finish_reason", finish_reason_name(*choice.finish)).close('}');
    });
  }
};

class StreamedChatReply final : public ChatReply {
 public:
  using ChatReply::ChatReply;

  void on_start() override {
    writer_.start_stream();
    for (size_t i = 0; i < state_.choices().size(); ++i) {
      write_chunk(i, {},
                  [](JsonWriter& json) { json.field("role", "assistant").field("content", ""); });
    }
  }

  void on_output(size_t index, GenerateOutput&& output) override {
    const size_t choice = state_.add(index, output, false);
    if (output.text.empty() && !output.finish && !logprobs_ && !writer_.options().return_token_ids)
      return;
    write_chunk(choice, output, [&](JsonWriter& json) {
      if (!output.text.empty() || output.finish) json.field("content", output.text);
      write_token_ids_if_wanted(json, output.tokens);
    });
  }

  void on_end() override { writer_.end_stream(state_); }

 private:
  template <class Delta>
  void write_chunk(size_t choice, const GenerateOutput& output, Delta write_delta) const {
    writer_.write_chunk([&](JsonWriter& json) {
      json.open('{').field("index", static_cast<int64_t>(choice)).key("delta").open('{');
      write_delta(json);
      json.close('}');
      write_logprobs(json, logprobs_ && !output.tokens.empty(), output.tokens);
      write_finish(json, output.finish);
      json.close('}');
    });
  }
};

}  // namespace

std::unique_ptr<OutputHandler> make_chat_reply(const ModelHost& host, ResponseWriter response,
                                               ReplyOptions options, std::string id, int n,
                                               bool logprobs) {
  const bool stream = options.stream;
  ReplyWriter writer(std::move(response), std::move(options), std::move(id),
                     stream ? "chat.completion.chunk" : "chat.completion");
  if (stream) return std::make_unique<StreamedChatReply>(host, std::move(writer), n, logprobs);
  return std::make_unique<WholeChatReply>(host, std::move(writer), n, logprobs);
}

}  // namespace lmdeploy
