#include "serve/openai/completion_reply.h"

#include "serve/openai/reply_writer.h"

namespace lmdeploy {

namespace {

// Logprobs and echoed text of a prompt come with the first output of its choices, and belong in
// front of each of them.
class CompletionReply : public OutputHandler {
 public:
  CompletionReply(const ModelHost& host, ReplyWriter writer, size_t prompts, int n, bool logprobs,
                  std::vector<std::string> echo)
      : host_(host),
        writer_(std::move(writer)),
        n_(static_cast<size_t>(n)),
        logprobs_(logprobs),
        echo_(std::move(echo)),
        state_(prompts, n),
        prompt_tokens_(prompts) {
    for (size_t i = 0; i < state_.choices().size(); ++i) {
      offsets_.emplace_back(echo_.empty() ? std::string_view() : echo_[i / n_]);
    }
  }

 protected:
  void write_logprobs(JsonWriter& json, size_t choice, const std::vector<TokenOutput>& tokens) {
    json.key("logprobs");
    if (logprobs_) {
      write_completion_logprobs(json, host_, tokens, offsets_[choice]);
    } else {
      json.null();
    }
  }
  void write_token_ids_if_wanted(JsonWriter& json, const std::vector<TokenOutput>& tokens) const {
    if (!writer_.options().return_token_ids) return;
    json.key("gen_tokens");
    write_token_ids(json, tokens);
  }

  const ModelHost& host_;
  const ReplyWriter writer_;
  const size_t n_;  // choices of each prompt
  const bool logprobs_;
  const std::vector<std::string> echo_;  // of each prompt; or empty
  ReplyState state_;
  std::vector<std::vector<TokenOutput>> prompt_tokens_;
  std::vector<TextOffset> offsets_;  // of each choice
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
    writer_.send_whole(state_, [&](JsonWriter& json, size_t index, const ChoiceReply& choice) {
      write_choice(json, index, choice);
    });
  }

 private:
  void write_choice(JsonWriter& json, size_t index, const ChoiceReply& choice) {
    const size_t prompt = index / n_;
    json.open('{').field("index", static_cast<int64_t>(index));
    json.field("text", (echo_.empty() ? std::string() : echo_[prompt]) + choice.text);
    std::vector<TokenOutput> tokens = prompt_tokens_[prompt];
    tokens.insert(tokens.end(), choice.tokens.begin(), choice.tokens.end());
    write_logprobs(json, index, tokens);
    json.field("finish_reason", finish_reason_name(*choice.finish));
    write_token_ids_if_wanted(json, choice.tokens);
    json.close('}');
  }
};

class StreamedCompletionReply final : public CompletionReply {
 public:
  using CompletionReply::CompletionReply;

  void on_start() override {
    writer_.start_stream();
    if (echo_.empty() || logprobs_) return;
    for (size_t i = 0; i < state_.choices().size(); ++i) write_chunk(i, echo_[i / n_], {}, {}, {});
  }

  void on_output(size_t index, GenerateOutput&& output) override {
    const size_t choice = state_.add(index, output, false);
    if (!echo_.empty() && !output.prompt_logprobs.empty()) {
      for (size_t i = index * n_; i < (index + 1) * n_; ++i) {
        write_chunk(i, echo_[index], output.prompt_logprobs, {}, {});
      }
    }
    if (output.text.empty() && !output.finish && !logprobs_) return;
    write_chunk(choice, output.text, output.tokens, output.tokens, output.finish);
  }

  void on_end() override { writer_.end_stream(state_); }

 private:
  void write_chunk(size_t choice, std::string_view text, const std::vector<TokenOutput>& scored,
                   const std::vector<TokenOutput>& generated, std::optional<FinishReason> finish) {
    writer_.write_chunk([&](JsonWriter& json) {
      json.open('{').field("index", static_cast<int64_t>(choice)).field("text", text);
      write_logprobs(json, choice, scored);
      write_finish(json, finish);
      write_token_ids_if_wanted(json, generated);
      json.close('}');
    });
  }
};

}  // namespace

std::unique_ptr<OutputHandler> make_completion_reply(const ModelHost& host, ResponseWriter response,
                                                     size_t prompts,
                                                     CompletionReplyOptions options) {
  const bool stream = options.reply.stream;
  ReplyWriter writer(std::move(response), std::move(options.reply), std::move(options.id),
                     "text_completion");
  if (stream) {
    return std::make_unique<StreamedCompletionReply>(host, std::move(writer), prompts, options.n,
                                                     options.logprobs, std::move(options.echo));
  }
  return std::make_unique<WholeCompletionReply>(host, std::move(writer), prompts, options.n,
                                                options.logprobs, std::move(options.echo));
}

}  // namespace lmdeploy
