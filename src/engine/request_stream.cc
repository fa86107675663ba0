#include "engine/request_stream.h"

#include <utility>

#include "base/clock.h"

namespace lmdeploy {

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kAbort: return "abort";
    case FinishReason::kError: return "error";
  }
  return "error";
}

RequestStream::RequestStream(RequestId id, GenerateRequest request, OutputSink sink,
                             const Tokenizer& tokenizer, TextPool& pool, Callbacks callbacks)
    : id_(id),
      request_(std::move(request)),
      sink_(std::move(sink)),
      pool_(pool),
      callbacks_(std::move(callbacks)),
      unfinished_(request_.sampling.n),
      submitted_(monotonic_seconds()) {
  for (int i = 0; i < request_.sampling.n; ++i) {
    choices_.push_back({std::make_unique<ChoiceText>(tokenizer, request_.sampling), false});
  }
}

void RequestStream::set_started(double now, int64_t cached_tokens) {
  std::lock_guard lock(mutex_);
  started_ = now;
  cached_tokens_ = cached_tokens;
}

void RequestStream::push_token(int choice, const SampledToken& token) {
  Event event;
  event.choice = choice;
  event.has_token = true;
  event.token.id = token.token;
  event.token.logprob = token.logprob;
  if (token.top_count > 0) event.token.top.assign(token.top, token.top + token.top_count);
  std::lock_guard lock(mutex_);
  mailbox_.push_back(std::move(event));
}

void RequestStream::push_finish(int choice, FinishReason reason, std::string error) {
  Event event;
  event.choice = choice;
  event.finish = reason;
  event.error = std::move(error);
  std::lock_guard lock(mutex_);
  mailbox_.push_back(std::move(event));
}

void RequestStream::push_prompt(std::vector<TokenOutput> logprobs, std::vector<float> last_logits) {
  std::lock_guard lock(mutex_);
  prompt_logprobs_ = std::move(logprobs);
  last_logits_ = std::move(last_logits);
}

void RequestStream::publish() {
  {
    std::lock_guard lock(mutex_);
    if (mailbox_.empty() || scheduled_) return;
    scheduled_ = true;
  }
  pool_.post_piece([self = shared_from_this()] { self->drain(); });
}

void RequestStream::drain() {
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      if (mailbox_.empty()) {
        scheduled_ = false;
        return;
      }
      taken_.swap(mailbox_);
    }
    for (Event& event : taken_) apply(event);
    for (size_t i = 0; i < choices_.size(); ++i) {
      if (!choices_[i].finished && choices_[i].text->has_pending()) emit(static_cast<int>(i), {}, {});
    }
    taken_.clear();
  }
}

void RequestStream::apply(Event& event) {
  Choice& choice = choices_[static_cast<size_t>(event.choice)];
  if (choice.finished) return;
  if (event.has_token) {
    if (first_token_ == 0) first_token_ = monotonic_seconds();
    if (!choice.text->push(std::move(event.token))) return;
    callbacks_.stop_choice(id_, event.choice, choice.text->kept_tokens());
    choice.finished = true;
    emit(event.choice, FinishReason::kStop, {});
    return;
  }
  choice.text->finish();
  choice.finished = true;
  emit(event.choice, event.finish, std::move(event.error));
}

void RequestStream::emit(int choice, std::optional<FinishReason> finish, std::string error) {
  ChoiceText& text = *choices_[static_cast<size_t>(choice)].text;
  ChoiceText::Piece piece = text.take();
  if (choice == 0 && request_.session.has_value()) {
    for (const TokenOutput& token : piece.tokens) kept_ids_.push_back(token.id);
  }
  generated_ += static_cast<int64_t>(piece.tokens.size());
  GenerateOutput output;
  output.choice = choice;
  output.text = std::move(piece.text);
  output.tokens = std::move(piece.tokens);
  output.finish = finish;
  output.error = std::move(error);
  output.prompt_tokens = prompt_tokens();
  output.generated_tokens = text.kept_tokens();
  double started;
  {
    std::lock_guard lock(mutex_);
    started = started_;
    output.cached_tokens = cached_tokens_;
    output.prompt_logprobs = std::exchange(prompt_logprobs_, {});
    output.last_logits = std::exchange(last_logits_, {});
  }
  if (finish.has_value()) --unfinished_;
  const bool last = unfinished_ == 0;
  if (last) {
    const double now = monotonic_seconds();
    RequestTiming timing;
    timing.queue = (started > 0 ? started : now) - submitted_;
    timing.first_token = (first_token_ > 0 ? first_token_ : now) - submitted_;
    timing.total = now - submitted_;
    timing.prompt_tokens = output.prompt_tokens;
    timing.cached_tokens = output.cached_tokens;
    timing.generated_tokens = generated_;
    timing.finish = finish.value_or(FinishReason::kStop);
    callbacks_.finished(*this, timing);
  }
  if (!reader_gone_ && !sink_(std::move(output))) {
    reader_gone_ = true;
    if (!last) callbacks_.cancel(id_);
  }
  if (last) callbacks_.ended(id_);
}

}  // namespace lmdeploy
