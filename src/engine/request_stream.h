// RequestStream: one request on its way from the engine thread to its reader.
//
// The engine thread appends token events to a mailbox and never waits; a text thread takes all that
// have come (so a slow text pool coalesces), detokenizes, matches stop strings and calls the sink.
// The mailbox cannot outgrow n * max_new_tokens events.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/choice_text.h"
#include "engine/request.h"
#include "engine/stats.h"
#include "engine/text_pool.h"

namespace lmdeploy {

class RequestStream : public std::enable_shared_from_this<RequestStream> {
 public:
  // How the text side talks back. Called on text threads.
  struct Callbacks {
    // A stop string is complete: `kept` tokens of the choice remain.
    std::function<void(RequestId, int choice, int64_t kept)> stop_choice;
    // The sink said that its reader is gone.
    std::function<void(RequestId)> cancel;
    // Every choice has finished; called before the sink gets the last output, so that whoever reads
    // that output finds the session up to date.
    std::function<void(RequestStream&, const RequestTiming&)> finished;
    // The sink has had the last output.
    std::function<void(RequestId)> ended;
  };

  RequestStream(RequestId id, GenerateRequest request, OutputSink sink, const Tokenizer& tokenizer,
                TextPool& pool, Callbacks callbacks);

  RequestId id() const { return id_; }
  const GenerateRequest& request() const { return request_; }
  int64_t prompt_tokens() const { return static_cast<int64_t>(request_.prompt.size()); }
  // Kept token ids of choice 0; complete once `finished` is called (sessions).
  const std::vector<int32_t>& kept_ids() const { return kept_ids_; }

  // Engine thread only, all of these; nothing reaches the reader before publish().
  void set_started(double now, int64_t cached_tokens);
  void push_token(int choice, const SampledToken& token);
  void push_finish(int choice, FinishReason reason, std::string error = {});
  void push_prompt(std::vector<TokenOutput> logprobs, std::vector<float> last_logits);
  void publish();

 private:
  struct Event {
    int choice = 0;
    bool has_token = false;
    TokenOutput token;
    std::optional<FinishReason> finish;
    std::string error;
  };
  struct Choice {
    std::unique_ptr<ChoiceText> text;
    bool finished = false;
  };

  void drain();                       // text thread
  void apply(Event& event);
  void emit(int choice, std::optional<FinishReason> finish, std::string error);

  const RequestId id_;
  GenerateRequest request_;
  OutputSink sink_;
  TextPool& pool_;
  Callbacks callbacks_;

  std::mutex mutex_;                  // guards the mailbox
  std::vector<Event> mailbox_;
  std::vector<TokenOutput> prompt_logprobs_;
  std::vector<float> last_logits_;
  bool scheduled_ = false;
  double started_ = 0;
  int64_t cached_tokens_ = 0;

  // Text thread only (one at a time: `scheduled_`).
  std::vector<Event> taken_;
  std::vector<Choice> choices_;
  std::vector<int32_t> kept_ids_;
  bool reader_gone_ = false;
  int unfinished_;
  int64_t generated_ = 0;
  const double submitted_;
  double first_token_ = 0;
};

}  // namespace lmdeploy
