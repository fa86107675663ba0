#include "cli/conversation.h"

#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/queue.h"

namespace lmdeploy::cli {

namespace {
constexpr size_t kQueuedPieces = 1 << 20;  // more than any answer has
constexpr auto kPollInterval = std::chrono::milliseconds(50);
}  // namespace

Conversation::Conversation(Engine& engine, SamplingParams sampling, std::string system, bool plain)
    : engine_(engine), sampling_(std::move(sampling)), system_(std::move(system)), plain_(plain) {
  for (const std::string& word : engine.chat_template().stop_words()) {
    if (!engine.tokenizer().id_of(word)) sampling_.stop.push_back(word);  // one token is an end id
  }
  reset();
}

void Conversation::reset() {
  messages_.clear();
  if (!system_.empty()) messages_.push_back({{"role", "system"}, {"content", system_}});
}

Result<std::vector<int32_t>> Conversation::prompt_for(std::string_view text) {
  ChatRender chat;
  if (!plain_) chat.messages = messages_;
  chat.messages.push_back({{"role", "user"}, {"content", text}});
  return engine_.encode_chat(std::move(chat));
}

Result<Conversation::Reply> Conversation::ask(std::string_view text,
                                              const std::function<void(std::string_view)>& on_text,
                                              const std::function<bool()>& interrupted) {
  GenerateRequest request;
  request.id = "chat";
  ASSIGN_OR_RETURN(request.prompt, prompt_for(text));
  request.sampling = sampling_;
  auto outputs = std::make_shared<BoundedQueue<GenerateOutput>>(kQueuedPieces);
  const double start = monotonic_seconds();
  ASSIGN_OR_RETURN(const RequestId id,
                   engine_.submit(std::move(request), [outputs](GenerateOutput&& output) {
                     return outputs->try_push(std::move(output));
                   }));

  Reply reply;
  bool cancelled = false;
  for (bool done = false; !done;) {
    if (!cancelled && interrupted()) {
      cancelled = true;
      engine_.cancel(id);
    }
    std::optional<GenerateOutput> output = outputs->pop_for(kPollInterval);
    if (!output) continue;
    if (!output->text.empty()) on_text(output->text);
    reply.text += output->text;
    reply.prompt_tokens = output->prompt_tokens;
    reply.cached_tokens = output->cached_tokens;
    reply.generated_tokens = output->generated_tokens;
    if (output->finish) {
      reply.finish = *output->finish;
      reply.error = output->error;
      done = true;
    }
  }
  reply.seconds = monotonic_seconds() - start;
  if (!plain_ && reply.finish != FinishReason::kError) {
    messages_.push_back({{"role", "user"}, {"content", text}});
    messages_.push_back({{"role", "assistant"}, {"content", reply.text}});
  }
  return reply;
}

}  // namespace lmdeploy::cli
